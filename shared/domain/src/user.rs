//! Users: people who sign in, API keys that programs sign in with, and what each may do.

use chrono::{DateTime, Utc};

use crate::id::{ApiKeyId, OrganizationId, SessionId, UserId};

/// What a member of an organization may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Owner,
}

/// A person who signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Whose member it is.
    pub organization: OrganizationId,
    /// The address it signs in with, in lower case; unique everywhere.
    pub email: String,
    /// The PHC string of the password.
    pub password_hash: String,
    /// What it may do.
    pub role: Role,
    /// When it signed up.
    pub created_at: DateTime<Utc>,
}

/// One thing an API key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Track usage and mint widget tokens.
    UsageWrite,
    /// Read usage.
    UsageRead,
    /// Read what is managed: features, plans, customers, subscriptions, invoices.
    BillingRead,
    /// Change what is managed.
    BillingWrite,
}

/// An API key. The key itself is never kept, only its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Whose it is.
    pub organization: OrganizationId,
    /// What people call it.
    pub name: String,
    /// SHA-256 of the secret, in hexadecimal.
    pub hash: String,
    /// The first characters, to tell keys apart.
    pub prefix: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A line of refresh tokens that began with one sign-in. Each use replaces the token; using a replaced one
/// again ends the line, since somebody else has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose organization.
    pub organization: OrganizationId,
    /// Who signed in.
    pub user: UserId,
    /// SHA-256 of the refresh token that is valid now, in hexadecimal.
    pub token_hash: String,
    /// Hash of the token before it, and when it was replaced.
    pub replaced: Option<(String, DateTime<Utc>)>,
    /// When nothing can be refreshed any more, whatever happens.
    pub expires_at: DateTime<Utc>,
    /// Counts the changes; writes are conditional on it.
    pub version: u64,
}
