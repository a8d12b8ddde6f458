//! HTTP/2 settings of both ends of an upgraded connection.
//!
//! Source: `docs/spec/wire-protocol.md` 4.1; why never smaller: `h2` closes a connection whose peer cuts data into
//! small frames, which competing streams do on their own when the connection window is small.

/// Settings of one end of an upgraded connection. All sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Data a peer may send on one stream before it is read.
    pub stream_window_bytes: u32,
    /// Data a peer may send on the whole connection before it is read.
    pub connection_window_bytes: u32,
    /// Largest frame that is accepted.
    pub max_frame_bytes: u32,
    /// Streams a peer may have open at once; `None` for no own limit.
    pub max_concurrent_streams: Option<u32>,
    /// Largest header list that is accepted; `None` for the library's default.
    pub max_header_list_bytes: Option<u32>,
}

/// Settings of a server.
pub const SERVER: Settings = Settings {
    stream_window_bytes: 33_554_432,
    connection_window_bytes: 33_554_432,
    max_frame_bytes: 4_194_304,
    max_concurrent_streams: Some(200),
    max_header_list_bytes: Some(16_384),
};

/// Settings of a client: those of a real one, whose windows never hold up a download, and a limit for heads, since
/// the library's default of 16 MiB for each of many streams is no bound worth the name.
pub const CLIENT: Settings = Settings {
    stream_window_bytes: 2_147_483_646,
    connection_window_bytes: 2_147_483_646,
    max_frame_bytes: 4_194_304,
    max_concurrent_streams: None,
    max_header_list_bytes: Some(16_384),
};

/// The `:scheme` and `:authority` of every request inside a session. Servers must not look at them.
pub const SESSION_ORIGIN: &str = "https://localhost:8007";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_those_of_the_recordings() {
        let recording = include_str!("../../../tests/golden/wire/pull-new.jsonl");
        let settings = |from: &str| {
            recording
                .lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
                .find(|l| l["event"] == "h2-settings" && l["from"] == from)
                .unwrap()["values"]
                .clone()
        };
        let server = settings("server");
        assert_eq!(server["max_concurrent_streams"], SERVER.max_concurrent_streams.unwrap());
        assert_eq!(server["initial_window_size"], SERVER.stream_window_bytes);
        assert_eq!(server["max_frame_size"], SERVER.max_frame_bytes);
        assert_eq!(server["max_header_list_size"], SERVER.max_header_list_bytes.unwrap());
        let client = settings("client");
        assert_eq!(client["initial_window_size"], CLIENT.stream_window_bytes);
        assert_eq!(client["max_frame_size"], CLIENT.max_frame_bytes);
    }

    #[test]
    fn connection_windows_stay_above_what_the_small_frame_guard_needs() {
        for settings in [SERVER, CLIENT] {
            assert!(16 * 1024 * 1024 <= settings.connection_window_bytes);
        }
    }
}
