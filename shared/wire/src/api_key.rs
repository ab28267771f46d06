//! Bodies of API keys.

use app::AppError;
use domain::user::{ApiKey, Scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{check::Check, time::TimeOut};

/// An API key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiKeyBody {
    /// What people call it.
    name: String,
    /// What it may do.
    scopes: Vec<ScopeName>,
}

/// What an API key may do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub enum ScopeName {
    /// Track usage and mint widget tokens.
    #[serde(rename = "usage.write")]
    UsageWrite,
    /// Read usage.
    #[serde(rename = "usage.read")]
    UsageRead,
    /// Read features, plans, customers, subscriptions and invoices.
    #[serde(rename = "billing.read")]
    BillingRead,
    /// Change them.
    #[serde(rename = "billing.write")]
    BillingWrite,
}

/// An API key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyBody {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The key itself. Only in the answer to its making.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its first characters.
    pub prefix: String,
    /// What it may do.
    pub scopes: Vec<ScopeName>,
    /// Always `ACTIVE`: a deleted key is gone.
    pub status: &'static str,
    /// When it was made.
    pub created_at: TimeOut,
}

impl NewApiKeyBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<(String, Vec<Scope>), AppError> {
        let mut check = Check::default();
        let name = check.text("name", self.name, 100);
        let mut scopes = self.scopes.into_iter().map(ScopeName::scope).collect::<Vec<_>>();
        scopes.sort();
        scopes.dedup();
        if scopes.is_empty() {
            check.refuse("scopes", "must name at least one scope");
        }
        check.finish((name, scopes))
    }
}

impl ApiKeyBody {
    /// The body of a key; with its text if it was just made.
    pub fn from_domain(key: ApiKey, text: Option<String>) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name,
            key: text,
            prefix: key.prefix,
            scopes: key.scopes.into_iter().map(ScopeName::from_scope).collect(),
            status: "ACTIVE",
            created_at: TimeOut(key.created_at),
        }
    }
}

impl ScopeName {
    fn scope(self) -> Scope {
        match self {
            Self::UsageWrite => Scope::UsageWrite,
            Self::UsageRead => Scope::UsageRead,
            Self::BillingRead => Scope::BillingRead,
            Self::BillingWrite => Scope::BillingWrite,
        }
    }

    fn from_scope(scope: Scope) -> Self {
        match scope {
            Scope::UsageWrite => Self::UsageWrite,
            Scope::UsageRead => Self::UsageRead,
            Scope::BillingRead => Self::BillingRead,
            Scope::BillingWrite => Self::BillingWrite,
        }
    }
}

pub(crate) fn scope_text(scope: Scope) -> &'static str {
    match scope {
        Scope::UsageWrite => "usage.write",
        Scope::UsageRead => "usage.read",
        Scope::BillingRead => "billing.read",
        Scope::BillingWrite => "billing.write",
    }
}
