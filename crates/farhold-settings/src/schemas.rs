//! What each configuration file may contain.
//!
//! Keys that Farhold does not use yet are listed too: an unknown key makes a file unusable, and a known one must survive.
//!
//! Source: `docs/spec/config-and-access.md` 3.

use farhold_format::config_schema::{FileSchema, Key, SectionSchema, Value};
use farhold_format::property_string::{Properties, PropertySchema};

use crate::checkers::{
    AUTHID, BYTE_SIZE, CIDR, COMMENT, DAILY_WINDOW, FILLED_LINE, FINGERPRINT, GROUP_FILTER, HOST, ID, LINE, NAMESPACE,
    PERSON, REALM, SCHEDULE, TOKENID, USERID, UUID, one_line, safe_id,
};

const ANY_INT: Value = Value::Int { min: i64::MIN, max: i64::MAX };
const NOT_NEGATIVE: Value = Value::Int { min: 0, max: i64::MAX };
const POSITIVE: Value = Value::Int { min: 1, max: i64::MAX };
const DEPTH: Value = Value::Int { min: 0, max: 7 };
const THREADS: Value = Value::Int { min: 1, max: 32 };

/// `remote.cfg`
pub const REMOTE: FileSchema = FileSchema {
    sections: &[SectionSchema {
        name: "remote",
        id: ID,
        keys: &[
            Key::required("host", HOST),
            // The range is checked when the section becomes a record, as in the reference product.
            Key::optional("port", ANY_INT),
            Key::required("auth-id", AUTHID),
            Key::required("password", Value::Text { min: 1, max: 1024, check: Some(one_line) }),
            Key::optional("fingerprint", FINGERPRINT),
            Key::optional("comment", COMMENT),
            Key::optional("use-node-proxy", Value::Bool),
        ],
    }],
};

/// `sync.cfg`
pub const SYNC: FileSchema = FileSchema {
    sections: &[SectionSchema {
        name: "sync",
        id: ID,
        keys: &[
            Key::required("store", ID),
            Key::required("remote-store", ID),
            Key::optional("remote", ID),
            Key::optional("ns", NAMESPACE),
            Key::optional("remote-ns", NAMESPACE),
            Key::optional("max-depth", DEPTH),
            Key::optional("owner", AUTHID),
            Key::optional("sync-direction", Value::LenientEnum(&["pull", "push"])),
            Key::optional("remove-vanished", Value::Bool),
            Key::optional("schedule", SCHEDULE),
            Key::optional("comment", COMMENT),
            Key::list("group-filter", GROUP_FILTER),
            Key::optional("rate-in", BYTE_SIZE),
            Key::optional("burst-in", BYTE_SIZE),
            Key::optional("rate-out", BYTE_SIZE),
            Key::optional("burst-out", BYTE_SIZE),
            Key::optional("transfer-last", POSITIVE),
            Key::optional("resync-corrupt", Value::Bool),
            Key::optional("encrypted-only", Value::Bool),
            Key::optional("verified-only", Value::Bool),
            Key::optional("run-on-mount", Value::Bool),
            Key::optional("unmount-on-done", Value::Bool),
            Key::optional("worker-threads", THREADS),
            Key::optional("active-encryption-key", ID),
            Key::list("associated-key", ID),
        ],
    }],
};

/// `tuning` of a datastore.
pub const TUNING: PropertySchema = PropertySchema {
    default_key: None,
    keys: &[
        Key::optional("chunk-order", Value::LenientEnum(&["none", "inode"])),
        Key::optional("sync-level", Value::LenientEnum(&["none", "file", "filesystem"])),
        Key::optional("gc-atime-safety-check", Value::Bool),
        Key::optional("gc-atime-cutoff", Value::Int { min: 1, max: 2880 }),
        Key::optional("gc-cache-capacity", Value::Int { min: 0, max: 8_388_608 }),
        Key::optional("default-verification-workers", THREADS),
        Key::optional("default-verification-readers", THREADS),
    ],
    check: None,
};

/// `maintenance-mode` of a datastore.
pub const MAINTENANCE: PropertySchema = PropertySchema {
    default_key: Some("type"),
    keys: &[
        Key::required("type", Value::LenientEnum(&["read-only", "offline", "delete", "unmount", "s3-refresh"])),
        Key::optional("message", Value::Text { min: 0, max: 64, check: Some(one_line) }),
    ],
    check: None,
};

const NOTIFY_WHEN: Value = Value::LenientEnum(&["never", "always", "error"]);

/// `notify` of a datastore.
pub const NOTIFY: PropertySchema = PropertySchema {
    default_key: None,
    keys: &[
        Key::optional("gc", NOTIFY_WHEN),
        Key::optional("verify", NOTIFY_WHEN),
        Key::optional("sync", NOTIFY_WHEN),
        Key::optional("prune", NOTIFY_WHEN),
    ],
    check: None,
};

/// `backend` of a datastore.
pub const BACKEND: PropertySchema = PropertySchema {
    default_key: Some("type"),
    keys: &[
        Key::optional("type", Value::Enum(&["filesystem", "s3"])),
        Key::optional("client", ID),
        Key::optional("bucket", FILLED_LINE),
        Key::optional("max-cache-size", BYTE_SIZE),
    ],
    check: Some(check_backend),
};

fn check_backend(properties: &Properties) -> Result<(), String> {
    let has = |key| properties.get(key).is_some();
    if properties.get("type") == Some("s3") {
        if has("client") && has("bucket") { Ok(()) } else { Err("type s3 needs client and bucket".to_owned()) }
    } else if has("client") || has("bucket") || has("max-cache-size") {
        Err("client, bucket and max-cache-size need type s3".to_owned())
    } else {
        Ok(())
    }
}

const THRESHOLDS: PropertySchema = PropertySchema {
    default_key: None,
    keys: &[
        Key::optional("s3-get", NOT_NEGATIVE),
        Key::optional("s3-put", NOT_NEGATIVE),
        Key::optional("s3-post", NOT_NEGATIVE),
        Key::optional("s3-head", NOT_NEGATIVE),
        Key::optional("s3-delete", NOT_NEGATIVE),
        Key::optional("s3-upload", BYTE_SIZE),
        Key::optional("s3-download", BYTE_SIZE),
    ],
    check: None,
};

/// `datastore.cfg`
pub const DATASTORE: FileSchema = FileSchema {
    sections: &[SectionSchema {
        name: "datastore",
        id: ID,
        keys: &[
            Key::required("path", Value::Text { min: 1, max: 4096, check: Some(one_line) }),
            Key::optional("comment", COMMENT),
            Key::optional("gc-schedule", SCHEDULE),
            Key::optional("gc-on-unmount", Value::Bool),
            Key::optional("verify-new", Value::Bool),
            Key::optional("notification-mode", Value::LenientEnum(&["legacy-sendmail", "notification-system"])),
            Key::optional("notify", Value::Properties(&NOTIFY)),
            Key::optional("notify-user", USERID),
            Key::optional("tuning", Value::Properties(&TUNING)),
            Key::optional("maintenance-mode", Value::Properties(&MAINTENANCE)),
            Key::optional("backing-device", UUID),
            Key::optional("backend", Value::Properties(&BACKEND)),
            Key::optional("notification-thresholds", Value::Properties(&THRESHOLDS)),
            Key::optional("counter-reset-schedule", SCHEDULE),
            Key::optional("prune-schedule", SCHEDULE),
            Key::optional("keep-last", POSITIVE),
            Key::optional("keep-hourly", POSITIVE),
            Key::optional("keep-daily", POSITIVE),
            Key::optional("keep-weekly", POSITIVE),
            Key::optional("keep-monthly", POSITIVE),
            Key::optional("keep-yearly", POSITIVE),
        ],
    }],
};

/// `prune.cfg`
pub const PRUNE: FileSchema = FileSchema {
    sections: &[SectionSchema {
        name: "prune",
        id: ID,
        keys: &[
            Key::required("store", ID),
            Key::required("schedule", SCHEDULE),
            Key::optional("disable", Value::Bool),
            Key::optional("comment", COMMENT),
            Key::optional("ns", NAMESPACE),
            Key::optional("max-depth", DEPTH),
            Key::optional("keep-last", POSITIVE),
            Key::optional("keep-hourly", POSITIVE),
            Key::optional("keep-daily", POSITIVE),
            Key::optional("keep-weekly", POSITIVE),
            Key::optional("keep-monthly", POSITIVE),
            Key::optional("keep-yearly", POSITIVE),
        ],
    }],
};

/// `verification.cfg`
pub const VERIFICATION: FileSchema = FileSchema {
    sections: &[SectionSchema {
        name: "verification",
        id: ID,
        keys: &[
            Key::required("store", ID),
            Key::optional("ignore-verified", Value::Bool),
            Key::optional("outdated-after", NOT_NEGATIVE),
            Key::optional("schedule", SCHEDULE),
            Key::optional("comment", COMMENT),
            Key::optional("ns", NAMESPACE),
            Key::optional("max-depth", DEPTH),
            Key::optional("read-threads", THREADS),
            Key::optional("verify-threads", THREADS),
        ],
    }],
};

/// `traffic-control.cfg`
pub const TRAFFIC_CONTROL: FileSchema = FileSchema {
    sections: &[SectionSchema {
        name: "rule",
        id: ID,
        keys: &[
            Key::required_list("network", CIDR),
            Key::optional("rate-in", BYTE_SIZE),
            Key::optional("burst-in", BYTE_SIZE),
            Key::optional("rate-out", BYTE_SIZE),
            Key::optional("burst-out", BYTE_SIZE),
            Key::list("timeframe", DAILY_WINDOW),
            Key::list("users", USERID),
            Key::optional("comment", COMMENT),
        ],
    }],
};

/// `encryption-keys.cfg`
pub const ENCRYPTION_KEYS: FileSchema = FileSchema {
    sections: &[SectionSchema {
        name: "sync-key",
        id: ID,
        keys: &[
            Key::required("created", ANY_INT),
            Key::required("modified", ANY_INT),
            Key::required("kdf", Value::LenientEnum(&["none", "scrypt", "pbkdf2"])),
            Key::optional("fingerprint", FINGERPRINT),
            Key::optional("path", FILLED_LINE),
            Key::optional("hint", LINE),
            Key::optional("archived-at", ANY_INT),
        ],
    }],
};

/// `user.cfg`
pub const USER: FileSchema = FileSchema {
    sections: &[
        SectionSchema {
            name: "user",
            id: USERID,
            keys: &[
                Key::optional("comment", COMMENT),
                Key::optional("enable", Value::Bool),
                Key::optional("expire", NOT_NEGATIVE),
                Key::optional("firstname", PERSON),
                Key::optional("lastname", PERSON),
                Key::optional("email", PERSON),
            ],
        },
        SectionSchema {
            name: "token",
            id: TOKENID,
            keys: &[
                Key::optional("comment", COMMENT),
                Key::optional("enable", Value::Bool),
                Key::optional("expire", NOT_NEGATIVE),
            ],
        },
    ],
};

const PORT: Value = Value::Int { min: 0, max: 65_535 };
const REALM_TYPE: Value = Value::LenientEnum(&["pam", "pbs", "openid", "ldap", "ad"]);
const NAME: Value = Value::Text { min: 1, max: usize::MAX, check: Some(safe_id) };
const CLAIM: Value = Value::Text { min: 1, max: 64, check: Some(safe_id) };

const SYNC_ATTRIBUTES: PropertySchema = PropertySchema {
    default_key: None,
    keys: &[Key::optional("email", LINE), Key::optional("firstname", LINE), Key::optional("lastname", LINE)],
    check: None,
};

const SYNC_DEFAULTS: PropertySchema = PropertySchema {
    default_key: None,
    keys: &[Key::optional("remove-vanished", LINE), Key::optional("enable-new", Value::Bool)],
    check: None,
};

/// Keys that both directory types share, around those that differ.
macro_rules! directory_keys {
    ($($key:expr),*) => {
        &[
            $($key,)*
            Key::required("server1", HOST),
            Key::optional("server2", HOST),
            Key::optional("port", PORT),
            Key::optional("mode", Value::LenientEnum(&["ldap", "ldap+starttls", "ldaps"])),
            Key::optional("verify", Value::Bool),
            Key::optional("capath", LINE),
            Key::optional("bind-dn", LINE),
            Key::optional("filter", LINE),
            Key::optional("user-classes", FILLED_LINE),
            Key::optional("sync-attributes", Value::Properties(&SYNC_ATTRIBUTES)),
            Key::optional("sync-defaults-options", Value::Properties(&SYNC_DEFAULTS)),
            Key::optional("comment", COMMENT),
            Key::optional("default", Value::Bool),
        ]
    };
}

const BUILT_IN_REALM: &[Key] =
    &[Key::required("type", REALM_TYPE), Key::optional("comment", COMMENT), Key::optional("default", Value::Bool)];

/// `domains.cfg`
pub const DOMAINS: FileSchema = FileSchema {
    sections: &[
        SectionSchema { name: "pam", id: REALM, keys: BUILT_IN_REALM },
        SectionSchema { name: "pbs", id: REALM, keys: BUILT_IN_REALM },
        SectionSchema {
            name: "ldap",
            id: REALM,
            keys: directory_keys!(Key::required("base-dn", LINE), Key::required("user-attr", LINE)),
        },
        SectionSchema { name: "ad", id: REALM, keys: directory_keys!(Key::optional("base-dn", LINE)) },
        SectionSchema {
            name: "openid",
            id: REALM,
            keys: &[
                Key::required("issuer-url", LINE),
                Key::required("client-id", LINE),
                Key::optional("client-key", LINE),
                Key::optional("scopes", LINE),
                Key::optional("acr-values", LINE),
                Key::optional("audiences", LINE),
                Key::optional("prompt", NAME),
                Key::optional("autocreate", Value::Bool),
                Key::optional("username-claim", CLAIM),
                Key::optional("comment", COMMENT),
                Key::optional("default", Value::Bool),
            ],
        },
    ],
};

const LANGUAGES: &[&str] = &[
    "ar", "ca", "da", "de", "en", "es", "eu", "fa", "fr", "gl", "he", "hu", "it", "ja", "kr", "nb", "nl", "nn", "pl",
    "pt_BR", "ru", "sl", "sv", "tr", "zh_CN", "zh_TW",
];

const ACME: PropertySchema = PropertySchema { default_key: None, keys: &[Key::required("account", NAME)], check: None };

const ACME_DOMAIN: PropertySchema = PropertySchema {
    default_key: Some("domain"),
    keys: &[Key::required("domain", FILLED_LINE), Key::optional("alias", LINE), Key::optional("plugin", LINE)],
    check: None,
};

const LOCATION: PropertySchema = PropertySchema {
    default_key: None,
    keys: &[Key::optional("name", LINE), Key::optional("latitude", LINE), Key::optional("longitude", LINE)],
    check: None,
};

const CIPHERS: Value = Value::Text { min: 1, max: usize::MAX, check: Some(check_ciphers) };

fn check_ciphers(text: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_:, +!@=.-".contains(c);
    if text.chars().all(allowed) { Ok(()) } else { Err("invalid character in a cipher list".to_owned()) }
}

/// Requires `[http://][user:pw@]host[:port]`.
fn check_proxy(text: &str) -> Result<(), String> {
    const FORM: &str = "expected [http://][user:password@]host[:port]";
    let rest = text.strip_prefix("http://").unwrap_or(text);
    let authority = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let (host, port) = match authority.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    one_line(text)?;
    crate::checkers::host(host).map_err(|_| FORM.to_owned())?;
    match port {
        // The reference keeps numbers that are no ports; such a file must stay readable.
        Some(port) if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) => Err(FORM.to_owned()),
        _ => Ok(()),
    }
}

/// `node.cfg`
pub const NODE: &[Key] = &[
    Key::optional("acme", Value::Properties(&ACME)),
    Key::optional("acmedomain0", Value::Properties(&ACME_DOMAIN)),
    Key::optional("acmedomain1", Value::Properties(&ACME_DOMAIN)),
    Key::optional("acmedomain2", Value::Properties(&ACME_DOMAIN)),
    Key::optional("acmedomain3", Value::Properties(&ACME_DOMAIN)),
    Key::optional("acmedomain4", Value::Properties(&ACME_DOMAIN)),
    Key::optional("http-proxy", Value::Text { min: 1, max: 128, check: Some(check_proxy) }),
    Key::optional("email-from", PERSON),
    Key::optional("ciphers-tls-1.2", CIPHERS),
    Key::optional("ciphers-tls-1.3", CIPHERS),
    Key::optional("default-lang", Value::Enum(LANGUAGES)),
    Key::optional("task-log-max-days", NOT_NEGATIVE),
    Key::optional("consent-text", Value::Text { min: 0, max: 65_536, check: Some(one_line) }),
    Key::optional("location", Value::Properties(&LOCATION)),
];
