//! Passwords: argon2id at OWASP's floor (19 MiB, 2 passes, 1 lane), as PHC strings.

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};

/// Hashes and checks passwords.
#[derive(Debug)]
pub struct PasswordHasher {
    /// The hash of no password, checked where an account does not exist, so that both take as long.
    dummy: String,
}

/// Why a password is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// Shorter than 12 characters.
    #[error("must have at least 12 characters")]
    TooShort,
    /// Longer than 256 characters.
    #[error("must have at most 256 characters")]
    TooLong,
    /// Among those that are tried first.
    #[error("is too easy to guess")]
    Common,
}

/// Checks a new password as it was received: no rules on its composition, nothing cut off.
pub fn check_password(password: &str) -> Result<(), WeakPassword> {
    let characters = password.chars().count();
    if characters < 12 {
        return Err(WeakPassword::TooShort);
    }
    if characters > 256 {
        return Err(WeakPassword::TooLong);
    }
    let lower = password.to_lowercase();
    let is_repetition = (1..=4).any(|period| {
        let unit = lower.chars().take(period).collect::<Vec<_>>();
        lower.chars().eq(unit.iter().copied().cycle().take(characters))
    });
    let is_sequence =
        ["0123456789012345678901234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm"]
            .iter()
            .any(|sequence| sequence.contains(&lower));
    if is_repetition || is_sequence || COMMON.split_whitespace().any(|common| common == lower) {
        return Err(WeakPassword::Common);
    }
    Ok(())
}

/// Passwords of twelve characters and more that lists of leaked passwords have at the top.
const COMMON: &str = "
    password1234 password12345 password123456 passwordpassword 123456789abc 1234567890qwerty 1q2w3e4r5t6y
    1qaz2wsx3edc 1qaz2wsx3edc4rfv qwertyuiop123 qwerty123456 qwertyqwerty administrator
    iloveyou1234 letmeinletmein welcome12345 welcome123456 changeme1234 changemechangeme football1234
    superman1234 trustno1trustno1 correcthorsebatterystaple q1w2e3r4t5y6 zaq12wsxcde3 abcd12345678
    123456abcdef abc123456789 password!234 password1234! p@ssw0rd1234 passw0rd1234";

impl PasswordHasher {
    /// A hasher. Errors: if argon2 itself fails, which it does only without memory.
    pub fn new() -> Result<Self, argon2::password_hash::Error> {
        let dummy = hash("a password that nobody has", [0; 16])?;
        Ok(Self { dummy })
    }

    /// The PHC string of a password. Takes tens of milliseconds of one core.
    ///
    /// Errors: as for [`PasswordHasher::new`].
    pub fn hash(&self, password: &str, salt: [u8; 16]) -> Result<String, argon2::password_hash::Error> {
        hash(password, salt)
    }

    /// Whether `password` is the one behind `phc`. Does the same work, in vain, for an account that does
    /// not exist.
    pub fn verify(&self, password: &str, phc: Option<&str>) -> bool {
        let matches = |phc: &str| {
            PasswordHash::new(phc)
                .is_ok_and(|phc| Argon2::default().verify_password(password.as_bytes(), &phc).is_ok())
        };
        match phc {
            Some(phc) => matches(phc),
            None => {
                matches(&self.dummy);
                false
            }
        }
    }
}

fn hash(password: &str, salt: [u8; 16]) -> Result<String, argon2::password_hash::Error> {
    Ok(Argon2::default().hash_password_with_salt(password.as_bytes(), &salt)?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_opens() {
        let hasher = PasswordHasher::new().unwrap();
        let phc = hasher.hash("correct horse battery staple", [3; 16]).unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(hasher.verify("correct horse battery staple", Some(&phc)));
        assert!(!hasher.verify("Correct horse battery staple", Some(&phc)));
        assert!(!hasher.verify("correct horse battery staple ", Some(&phc)));
        assert!(!hasher.verify("a password that nobody has", None));
        assert!(!hasher.verify("", Some("damaged")));
    }

    #[test]
    fn weak_passwords_are_refused() {
        for (password, expected) in [
            ("correct horse battery staple", Ok(())),
            ("пароль из слов", Ok(())),
            ("elevenchars", Err(WeakPassword::TooShort)),
            ("Password1234", Err(WeakPassword::Common)),
            ("aaaaaaaaaaaaaa", Err(WeakPassword::Common)),
            ("abcabcabcabcabc", Err(WeakPassword::Common)),
            ("1234567890123", Err(WeakPassword::Common)),
        ] {
            assert_eq!(check_password(password), expected, "{password}");
        }
        assert_eq!(check_password(&"xy z".repeat(64)), Err(WeakPassword::Common));
        assert_eq!(check_password(&"x".repeat(257)), Err(WeakPassword::TooLong));
    }
}
