//! The caller: which organization it belongs to, and what it may do.

use domain::{
    id::{ApiKeyId, OrganizationId, UserId},
    user::{Role, Scope},
};

/// A caller whose credential was checked. The only source of an organization's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Whose things it may touch.
    pub organization: OrganizationId,
    /// What it proved itself with.
    pub credential: Credential,
}

/// What a caller proved itself with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A person's session.
    Session {
        /// Who.
        user: UserId,
        /// As what.
        role: Role,
    },
    /// An API key.
    ApiKey {
        /// Which.
        id: ApiKeyId,
        /// What it may do.
        scopes: Vec<Scope>,
    },
}

/// A caller that may not do this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the API key lacks the scope it needs")]
pub struct MissingScope(pub Scope);

impl Actor {
    /// Whether it may do what `scope` stands for. Members may do everything so far.
    pub fn require(&self, scope: Scope) -> Result<(), MissingScope> {
        match &self.credential {
            Credential::Session { role: Role::Owner, .. } => Ok(()),
            Credential::ApiKey { scopes, .. } if scopes.contains(&scope) => Ok(()),
            Credential::ApiKey { .. } => Err(MissingScope(scope)),
        }
    }

    /// How the audit log calls it.
    pub fn name(&self) -> String {
        match &self.credential {
            Credential::Session { user, .. } => format!("user {user}"),
            Credential::ApiKey { id, .. } => format!("api key {id}"),
        }
    }
}
