//! Server-sent events (WHATWG HTML, section 9.2), as far as agents and control planes write them.

use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::connection::{Driver, Way, open, while_driven, whole};
use crate::error::{ClientError, refusal};

/// Largest event that is taken, in bytes.
const EVENT_MAX_BYTES: usize = 1 << 20;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// What kind of event it is; empty where it has no name.
    pub name: String,
    /// Its lines, with a line feed between them.
    pub data: String,
    /// Whether it came with an id, which is [`Events::last_id`] then.
    pub has_id: bool,
}

/// A stream of events.
pub struct Events {
    body: Incoming,
    driver: Driver,
    /// What came and is not yet a whole line.
    rest: Vec<u8>,
    last_id: Option<String>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("rest", &self.rest.len()).finish_non_exhaustive()
    }
}

impl Events {
    pub(crate) async fn open(way: &Way, path: &str) -> Result<Self, ClientError> {
        let (response, mut driver) = open(way, Method::GET, path, Vec::new()).await?;
        if !response.status().is_success() {
            return Err(refusal(&whole(response, &mut driver).await?));
        }
        Ok(Self { body: response.into_body(), driver, rest: Vec::new(), last_id: None })
    }

    /// The id that was told last, with an event or alone: where the stream is.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The next event; none when the stream has ended. Comments and events without data are passed over. Waits without
    /// deadline, because a stream may be silent for long; not cancel safe: a begun event is lost with the future.
    ///
    /// # Errors
    /// `TooLarge` for an event of more than 1 MiB, `Broken` when the connection does not end as it should.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        let mut event = Event::default();
        loop {
            while let Some(line) = self.take_line() {
                if line.is_empty() && !event.data.is_empty() {
                    return Ok(Some(event));
                }
                if line.is_empty() {
                    event = Event::default();
                } else if let Some(name) = field(&line, "event") {
                    event.name = name.to_owned();
                } else if let Some(id) = field(&line, "id") {
                    (self.last_id, event.has_id) = (Some(id.to_owned()), true);
                } else if let Some(data) = field(&line, "data") {
                    if !event.data.is_empty() {
                        event.data.push('\n');
                    }
                    event.data.push_str(data);
                }
            }
            if self.rest.len() + event.data.len() > EVENT_MAX_BYTES {
                return Err(ClientError::TooLarge { max_bytes: EVENT_MAX_BYTES });
            }
            match while_driven(&mut self.driver, self.body.frame()).await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.rest.extend_from_slice(&data);
                    }
                }
                Some(Err(source)) => return Err(ClientError::Broken { source }),
            }
        }
    }

    fn take_line(&mut self) -> Option<String> {
        let end = self.rest.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.rest.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
    }
}

fn field<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let rest = line.strip_prefix(name)?.strip_prefix(':')?;
    Some(rest.strip_prefix(' ').unwrap_or(rest))
}
