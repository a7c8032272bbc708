//! Results on their way out, each behind the steps of its action.

use std::pin::Pin;
use std::time::Duration;

use nkudo_domain::Action;
use nkudo_recorder::Recorder;
use nkudo_rpc::message::{ActionResult, FromAgent};
use tokio::time::{Instant, timeout_at};

use crate::traces;

/// How long the results of a batch wait for their steps, all of them together.
const STEPS_DEADLINE: Duration = Duration::from_secs(2);
/// Most bytes of the steps of a batch, and those of one result more.
const STEPS_MAX_BYTES: usize = 2 << 20;

type Gathering = Pin<Box<dyn Future<Output = Vec<FromAgent>> + Send>>;

/// The batch of results that waits for its steps.
pub(super) struct Results {
    /// None where nothing is recorded.
    recorder: Option<Recorder>,
    gathering: Option<Gathering>,
}

impl Results {
    pub(super) fn new(recorder: Option<Recorder>) -> Self {
        Self { recorder, gathering: None }
    }

    /// Whether a batch may be given.
    pub(super) fn is_idle(&self) -> bool {
        self.gathering.is_none()
    }

    /// Takes a batch, when it is idle.
    pub(super) fn take(&mut self, results: Vec<ActionResult>) {
        let recorder = self.recorder.clone();
        let steps = move |action| {
            let recorder = recorder.clone();
            async move { traces::told(recorder.as_ref()?, &action).await }
        };
        self.gathering = Some(Box::pin(with_steps(results, steps)));
    }

    /// The batch in its order, once it has its steps; waits for ever while there is none. It may be the beginning of what
    /// was given: the rest is to be given again. Cancel safe.
    pub(super) async fn next(&mut self) -> Vec<FromAgent> {
        match &mut self.gathering {
            Some(gathering) => {
                let batch = gathering.await;
                self.gathering = None;
                batch
            }
            None => std::future::pending().await,
        }
    }
}

/// A disk that hangs holds up a batch until the deadline; from there on its results go without their steps.
async fn with_steps<S>(results: Vec<ActionResult>, steps: impl Fn(Action) -> S) -> Vec<FromAgent>
where
    S: Future<Output = Option<Vec<u8>>>,
{
    let deadline = Instant::now() + STEPS_DEADLINE;
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for result in results {
        if bytes >= STEPS_MAX_BYTES {
            break;
        }
        if let Some(action) = result.action.clone().filter(|_| Instant::now() < deadline)
            && let Ok(Some(otlp_json)) = timeout_at(deadline, steps(action)).await
        {
            bytes += otlp_json.len();
            batch.push(FromAgent::Spans { otlp_json });
        }
        batch.push(FromAgent::Result(Box::new(result)));
    }
    batch
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use nkudo_domain::{AskedBy, EndStatus, Request};

    use super::*;

    fn results(count: u64) -> Vec<ActionResult> {
        let result = |seq: u64| {
            let action = Action {
                action_id: format!("a{seq}").parse().unwrap(),
                request: Request::Start("01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap()),
                timeout: Duration::from_secs(1),
                trace_id: None,
                parent_span_id: None,
                correlation_id: None,
                asked_by: AskedBy::Unknown,
                start_within: None,
            };
            ActionResult {
                seq,
                action_id: action.action_id.clone(),
                action: Some(action),
                status: EndStatus::Success,
                changed: None,
                error: None,
                retries: 0,
                created_at_ms: 0,
                completed_at_ms: 0,
                execution: None,
            }
        };
        (1..=count).map(result).collect()
    }

    /// A number for each result, `s` for the steps before it.
    fn shown(batch: &[FromAgent]) -> String {
        let shown = batch.iter().map(|message| match message {
            FromAgent::Spans { .. } => "s".to_owned(),
            FromAgent::Result(result) => result.seq.to_string(),
            other => panic!("{other:?}"),
        });
        shown.collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_once_for_a_disk_that_hangs_and_goes_without_its_steps() {
        let (began, asked) = (Instant::now(), Cell::new(0));
        let batch = with_steps(results(9), |_| {
            asked.set(asked.get() + 1);
            let hangs = asked.get() > 2;
            async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                Some(Vec::new())
            }
        });
        assert_eq!(shown(&batch.await), "s1s23456789");
        assert_eq!((began.elapsed().as_secs(), asked.get()), (STEPS_DEADLINE.as_secs(), 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_ends_where_its_steps_have_enough_bytes() {
        let large = async |_| Some(vec![0; STEPS_MAX_BYTES / 2]);
        assert_eq!(shown(&with_steps(results(9), large).await), "s1s2");
        assert_eq!(shown(&with_steps(results(3), async |_| None).await), "123");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_a_batch_may_be_given_up_and_begun_again() {
        let mut results_out = Results::new(None);
        assert!(results_out.is_idle());
        results_out.gathering = Some(Box::pin(with_steps(results(1), |_| std::future::pending())));
        let second = Duration::from_secs(1);
        assert!(tokio::time::timeout(second, results_out.next()).await.is_err() && !results_out.is_idle());
        assert_eq!(shown(&results_out.next().await), "1");
        assert!(results_out.is_idle());
        results_out.take(results(2));
        assert_eq!(shown(&results_out.next().await), "12");
    }
}
