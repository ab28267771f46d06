//! What a function is told by its environment. `template.yaml` sets it.

/// The configuration of a function. Only the tables are needed by every one; a port that misses what it needs
/// says so when it is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `FLUXRATE_CORE_TABLE`.
    pub core_table: String,
    /// `FLUXRATE_USAGE_TABLE`.
    pub usage_table: String,
    /// `FLUXRATE_USAGE_QUEUE_URL`.
    pub usage_queue_url: Option<String>,
    /// `FLUXRATE_PERIODS_QUEUE_URL`.
    pub periods_queue_url: Option<String>,
    /// `FLUXRATE_OUTBOX_QUEUE_URL`.
    pub outbox_queue_url: Option<String>,
    /// `FLUXRATE_DEAD_LETTER_QUEUE_URL`: where the messages of the one queue that the function consumes go
    /// when they can never be handled.
    pub dead_letter_queue_url: Option<String>,
    /// `FLUXRATE_EVENT_BUS`, its name.
    pub event_bus: Option<String>,
    /// `FLUXRATE_KMS_KEY_ID`.
    pub kms_key_id: Option<String>,
    /// `FLUXRATE_EMAIL_FROM`.
    pub email_from: Option<String>,
    /// `FLUXRATE_PUBLIC_URL`, without a slash at the end.
    pub public_url: Option<String>,
}

/// A variable of the environment that must be set is not, or is empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {0} is not set")]
pub struct MissingVariable(pub &'static str);

impl Config {
    /// The configuration in the environment. An empty variable is one that is not set.
    pub fn from_env() -> Result<Self, MissingVariable> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, MissingVariable> {
        let optional = |name| variable(name).filter(|value| !value.is_empty());
        let required = |name| optional(name).ok_or(MissingVariable(name));
        Ok(Self {
            core_table: required("FLUXRATE_CORE_TABLE")?,
            usage_table: required("FLUXRATE_USAGE_TABLE")?,
            usage_queue_url: optional("FLUXRATE_USAGE_QUEUE_URL"),
            periods_queue_url: optional("FLUXRATE_PERIODS_QUEUE_URL"),
            outbox_queue_url: optional("FLUXRATE_OUTBOX_QUEUE_URL"),
            dead_letter_queue_url: optional("FLUXRATE_DEAD_LETTER_QUEUE_URL"),
            event_bus: optional("FLUXRATE_EVENT_BUS"),
            kms_key_id: optional("FLUXRATE_KMS_KEY_ID"),
            email_from: optional("FLUXRATE_EMAIL_FROM"),
            public_url: optional("FLUXRATE_PUBLIC_URL").map(|url| url.trim_end_matches('/').to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(variables: &[(&str, &str)]) -> Result<Config, MissingVariable> {
        let find = |name| variables.iter().find(|(set, _)| *set == name);
        Config::from_variables(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_tables_are_required_and_the_rest_is_not() {
        let tables = [("FLUXRATE_CORE_TABLE", "core"), ("FLUXRATE_USAGE_TABLE", "usage")];
        let bare = Config { core_table: "core".into(), usage_table: "usage".into(), ..Config::default() };
        assert_eq!(config(&tables), Ok(bare));
        assert_eq!(config(&tables[1..]), Err(MissingVariable("FLUXRATE_CORE_TABLE")));
        assert_eq!(
            config(&[tables[0], ("FLUXRATE_USAGE_TABLE", "")]).unwrap_err().to_string(),
            "the environment variable FLUXRATE_USAGE_TABLE is not set"
        );
    }

    #[test]
    fn an_empty_variable_is_not_set_and_a_public_url_has_no_slash_at_its_end() {
        let config = config(&[
            ("FLUXRATE_CORE_TABLE", "core"),
            ("FLUXRATE_USAGE_TABLE", "usage"),
            ("FLUXRATE_EVENT_BUS", ""),
            ("FLUXRATE_PUBLIC_URL", "https://billing.example.com/"),
        ]);
        let config = config.unwrap();
        assert_eq!(config.event_bus, None);
        assert_eq!(config.public_url.as_deref(), Some("https://billing.example.com"));
    }
}
