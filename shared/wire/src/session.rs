//! Bodies of signing up, in and out.

use app::{AppError, sessions::SignUp};
use domain::{organization::Organization, user::User};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{check::Check, test_clock::ModeName, time::TimeOut};

/// Somebody signs up.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignUpBody {
    /// The address to sign in with.
    email: String,
    /// At least 12 characters.
    password: String,
    /// What the new organization is called.
    organization_name: String,
    /// `LIVE` if left out. In `TEST` its time is that of its test clock. Chosen for good.
    mode: Option<ModeName>,
}

/// Somebody signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogInBody {
    /// The address.
    pub email: String,
    /// The password.
    pub password: String,
}

/// Who is signed in.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MeBody {
    /// The user.
    pub user: UserBody,
    /// The organization.
    pub organization: OrganizationName,
    /// The user's role in it.
    pub role: &'static str,
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserBody {
    /// Its id.
    pub id: String,
    /// The address it signs in with.
    pub email: String,
    /// When it signed up.
    pub created_at: TimeOut,
}

/// An organization, in short.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrganizationName {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

impl SignUpBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<SignUp, AppError> {
        let mut check = Check::default();
        let email = check.email("email", self.email);
        let organization_name = check.text("organization_name", self.organization_name, 200);
        let mode = self.mode.unwrap_or_default().into_domain();
        check.finish(SignUp { email, password: self.password, organization_name, mode })
    }
}

impl MeBody {
    /// The body of a user and its organization.
    pub fn from_domain(user: User, organization: Organization) -> Self {
        Self {
            role: match user.role {
                domain::user::Role::Owner => "OWNER",
            },
            user: UserBody {
                id: user.id.to_string(),
                email: user.email,
                created_at: TimeOut(user.created_at),
            },
            organization: OrganizationName { id: organization.id.to_string(), name: organization.name },
        }
    }
}
