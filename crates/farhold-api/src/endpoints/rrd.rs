//! Histories: what the calls for the host and for datastores share. Source: `docs/spec/rest-api.md` 12.11, 15.4.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_jobs::history::{History, HistoryRow, Subject};
use farhold_rules::history::{Cell, Timeframe};
use serde_json::{Map, Value};

use super::blocking;
use crate::declare::Reply;
use crate::error::ApiError;
use crate::schema::{Field, Param, ParamKind, Params, Shape, shapes};

/// `timeframe` and `cf`.
pub const RRD_PARAMS: [Param; 2] = [
    Param::required(
        "timeframe",
        ParamKind::Enumeration { values: &["hour", "day", "week", "month", "year", "decade"], strict: true },
        "How far back",
    ),
    Param::required(
        "cf",
        ParamKind::Enumeration { values: &["MAX", "AVERAGE"], strict: true },
        "Whether a row tells the largest value or the average",
    ),
];

const TIME: Field = Field::required("time", shapes::EPOCH, "When the row starts");

const fn measure(name: &'static str, description: &'static str) -> Field {
    Field::optional(name, Shape::Number, description)
}

const DISK: &[Field] = &[
    measure("read_ios", "Read requests per second"),
    measure("read_bytes", "Bytes read per second"),
    measure("write_ios", "Write requests per second"),
    measure("write_bytes", "Bytes written per second"),
    measure("io_ticks", "Seconds of work that requests took, per second"),
    measure("total", "Bytes of the file system"),
    measure("used", "Bytes that are used"),
];

/// Rows of the host; a measure is absent where nothing is known.
pub const HOST_ROWS: Shape = Shape::List(&Shape::Joined(&[
    &[
        TIME,
        measure("cpu", "Part of the processors' time that is work, 0 to 1"),
        measure("iowait", "Part of the processors' time that waits for disks, 0 to 1"),
        measure("memtotal", "Bytes of memory"),
        measure("memused", "Bytes of memory that are used"),
        measure("swaptotal", "Bytes of swap space"),
        measure("swapused", "Bytes of swap space that are used"),
        measure("netin", "Bytes received per second"),
        measure("netout", "Bytes sent per second"),
        measure("loadavg", "Load of the last minute"),
    ],
    DISK,
]));

/// Rows of a datastore, as for the host.
pub const STORE_ROWS: Shape =
    Shape::List(&Shape::Joined(&[&[TIME, measure("available", "Bytes that may still be used")], DISK]));

/// Answers with the rows of a subject for the parameters [`RRD_PARAMS`].
///
/// # Errors
/// 400 if they cannot be read.
pub async fn history_rows(app: Arc<App>, subject: Subject, params: Params) -> Result<Reply, ApiError> {
    let timeframe = params.text("timeframe").and_then(Timeframe::of_word);
    let timeframe = timeframe.ok_or_else(|| ApiError::parameter("timeframe", "parameter is missing"))?;
    let value: fn(Cell) -> f64 = match params.text("cf") {
        Some("MAX") => |cell| cell.max,
        _ => |cell| cell.average,
    };
    blocking(move || {
        let now = app.clock.now();
        let rows = app.history.rows(&subject, timeframe, now);
        let rows = rows.map_err(|error| ApiError::bad_request(format!("the history cannot be read: {error}")))?;
        let rows = rows.unwrap_or_else(|| History::no_rows(&subject, timeframe, now));
        let rows: Vec<Value> = rows.iter().map(|row| row_value(&subject, row, value)).collect();
        Ok::<_, ApiError>(Reply::value(rows))
    })
    .await
}

fn row_value(subject: &Subject, row: &HistoryRow, value: fn(Cell) -> f64) -> Value {
    let known = subject.measures().iter().zip(&row.cells);
    let known = known.filter_map(|(name, cell)| Some(((*name).to_owned(), Value::from(value((*cell)?)))));
    let time = std::iter::once(("time".to_owned(), Value::from(row.start.0)));
    time.chain(known).collect::<Map<_, _>>().into()
}
