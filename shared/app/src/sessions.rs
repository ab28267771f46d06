//! Signing up, in, out, and staying signed in.

pub use auth::{ACCESS_TOKEN_VALID, REFRESH_TOKEN_VALID};
use auth::{AccessClaims, RefreshToken, check_password};
use chrono::{DateTime, Duration, Utc};
use domain::{
    organization::{Organization, Settings},
    test_clock::{Mode, TestClock},
    user::{Role, Session, User},
};
use store::StoreError;

use crate::{AppError, FieldError, Platform};

/// What somebody signs up with.
pub struct SignUp {
    /// The address to sign in with.
    pub email: String,
    /// The password, as received.
    pub password: String,
    /// What the new organization is called.
    pub organization_name: String,
    /// What its time follows, for good.
    pub mode: Mode,
}

/// A user who is signed in, with new tokens.
pub struct SignedIn {
    /// Who.
    pub user: User,
    /// The token that proves it for a quarter of an hour.
    pub access_token: String,
    /// The token that gets the next ones.
    pub refresh_token: String,
}

/// How long the token before the present one still gets that: an answer may have been lost.
const REPLACED_VALID: Duration = Duration::seconds(10);

/// How often a session is read again that is refreshed at the same time.
const ATTEMPTS_MAX: u32 = 5;

/// Makes an organization and its owner, and signs them in.
///
/// Errors: `Invalid` for a weak password, `Conflict` if the address has an account.
pub async fn sign_up(platform: &Platform, input: SignUp) -> Result<SignedIn, AppError> {
    check_password(&input.password).map_err(|weak| {
        AppError::Invalid(vec![FieldError::new("password", "weak_password", weak.to_string())])
    })?;
    let (now, salt) = (platform.real_now(), platform.entropy());
    let hasher = platform.passwords().await?;
    let hash = tokio::task::spawn_blocking(move || hasher.hash(&input.password, salt)).await;
    let email = input.email.to_lowercase();
    let organization = Organization {
        id: platform.new_id(),
        name: input.organization_name,
        settings: Settings { email: Some(email.clone()), ..Settings::default() },
        created_at: now,
        version: 0,
    };
    let user = User {
        id: platform.new_id(),
        organization: organization.id,
        email,
        password_hash: hash.map_err(AppError::internal)?.map_err(AppError::internal)?,
        role: Role::Owner,
        created_at: now,
    };
    let change = platform.change(organization.id, format!("user {}", user.id));
    let clock = match input.mode {
        Mode::Live => None,
        Mode::Test => Some(TestClock::at(now)),
    };
    platform.store.create_organization(&change, &organization, &user, clock.as_ref()).await?;
    tracing::info!(organization.id = %organization.id, "signed up organization {}", organization.id);
    begin_session(platform, user).await
}

/// Signs a user in. Takes as long for an address without an account.
///
/// Errors: `Unauthenticated`, the same for a wrong password and an unknown address.
pub async fn log_in(platform: &Platform, email: &str, password: String) -> Result<SignedIn, AppError> {
    let user = platform.store.find_user_by_email(&email.to_lowercase()).await?;
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    let hasher = platform.passwords().await?;
    let verify = move || hasher.verify(&password, hash.as_deref());
    let is_right = tokio::task::spawn_blocking(verify).await.map_err(AppError::internal)?;
    match user {
        Some(user) if is_right => begin_session(platform, user).await,
        _ => Err(AppError::Unauthenticated("the e-mail address or the password is wrong")),
    }
}

async fn begin_session(platform: &Platform, user: User) -> Result<SignedIn, AppError> {
    let now = platform.real_now();
    let id = platform.new_id();
    let refresh_token = RefreshToken::new(user.organization, id, platform.entropy());
    let session = Session {
        id,
        organization: user.organization,
        user: user.id,
        token_hash: refresh_token.hash(),
        replaced: None,
        expires_at: now + REFRESH_TOKEN_VALID,
        version: 0,
    };
    platform.store.put_session(&session).await?;
    signed_in(platform, user, &refresh_token, now).await
}

/// Gets new tokens for a refresh token, which is replaced. Using a replaced one ends the session, since
/// somebody else has it; but for a few seconds, and until its replacement is used, it is taken for a repeat whose answer
/// was lost, and answered alike.
///
/// Errors: `Unauthenticated`.
pub async fn refresh(platform: &Platform, token: &str) -> Result<SignedIn, AppError> {
    let denied = || AppError::Unauthenticated("the session is over: sign in again");
    let token = RefreshToken::from_text(token).ok_or_else(denied)?;
    let next = token.next(&*platform.signing_key().await?);
    let next = next.ok_or_else(|| AppError::internal("the next token could not be made"))?;
    for _ in 0..ATTEMPTS_MAX {
        let now = platform.real_now();
        let session = platform.store.find_session(token.organization, token.session).await?;
        let session = session.filter(|session| now < session.expires_at).ok_or_else(denied)?;
        let user = session.user;
        if session.token_hash == token.hash() {
            let replaced = Some((token.hash(), now));
            let session = Session { token_hash: next.hash(), replaced, ..session };
            match platform.store.put_session(&session).await {
                Ok(()) => {}
                Err(StoreError::Conflict) => continue, // by a repeat, or the session was ended
                Err(error) => return Err(error.into()),
            }
        } else if !is_repeat(&session, &token, &next, now) {
            platform.store.delete_session(token.organization, token.session).await?;
            tracing::warn!(session.id = %session.id, "ended session {}: a replaced token was used", session.id);
            return Err(denied());
        }
        let user = platform.store.get_user(token.organization, user).await?;
        return signed_in(platform, user, &next, now).await;
    }
    Err(AppError::Unavailable("the session is refreshed again and again".into()))
}

/// Whether `token` was replaced by `next` just now, which nobody has used yet.
fn is_repeat(session: &Session, token: &RefreshToken, next: &RefreshToken, now: DateTime<Utc>) -> bool {
    let was_just_replaced =
        |(hash, at): &(String, DateTime<Utc>)| *hash == token.hash() && now < *at + REPLACED_VALID;
    session.token_hash == next.hash() && session.replaced.as_ref().is_some_and(was_just_replaced)
}

/// Ends the session of a refresh token; any other text changes nothing.
pub async fn log_out(platform: &Platform, token: &str) -> Result<(), AppError> {
    let Some(token) = RefreshToken::from_text(token) else { return Ok(()) };
    if let Some(session) = platform.store.find_session(token.organization, token.session).await? {
        let is_known = session.token_hash == token.hash()
            || session.replaced.is_some_and(|(hash, _)| hash == token.hash());
        if is_known {
            platform.store.delete_session(token.organization, token.session).await?;
        }
    }
    Ok(())
}

/// The organization of a user who is signed in.
pub async fn organization(platform: &Platform, user: &User) -> Result<Organization, AppError> {
    Ok(platform.store.get_organization(user.organization).await?)
}

async fn signed_in(
    platform: &Platform,
    user: User,
    refresh_token: &RefreshToken,
    now: DateTime<Utc>,
) -> Result<SignedIn, AppError> {
    let claims =
        AccessClaims { organization: user.organization, user: user.id, session: refresh_token.session };
    let access_token = platform.signing_key().await?.issue(claims, now);
    let access_token = access_token.ok_or_else(|| AppError::internal("the session could not be signed"))?;
    Ok(SignedIn { user, access_token, refresh_token: refresh_token.text() })
}
