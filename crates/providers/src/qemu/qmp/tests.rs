use tempfile::tempdir;
use tokio::io::AsyncReadExt as _;

use super::*;

const GREETING: &str = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n";
const SETTLED: &str = "{\"return\": {}, \"id\": 1}\r\n";

/// What a fake QEMU does, in order; then it closes the connection.
#[derive(Debug, Clone)]
enum Step {
    Say(String),
    /// Waits for a line of the client.
    Hear,
    /// Says nothing for ever.
    Hang,
    /// Says the same for ever.
    Repeat(String),
}

use Step::{Hang, Hear, Repeat, Say};

fn say(text: &str) -> Step {
    Say(text.to_owned())
}

/// The steps of a fake that greets and settles, and then does these.
fn settled(rest: &[Step]) -> Vec<Step> {
    let mut steps = vec![say(GREETING), Hear, say(SETTLED), Hear];
    steps.extend_from_slice(rest);
    steps
}

async fn serve(mut stream: UnixStream, steps: &[Step]) {
    for step in steps {
        let open = match step {
            Say(text) => stream.write_all(text.as_bytes()).await.is_ok(),
            Hear => loop {
                match stream.read_u8().await {
                    Ok(b'\n') => break true,
                    Ok(_) => {}
                    Err(_) => break false,
                }
            },
            Hang => std::future::pending().await,
            Repeat(text) => loop {
                if stream.write_all(text.as_bytes()).await.is_err() {
                    break false;
                }
            },
        };
        if !open {
            return;
        }
    }
}

/// What a client of the fake finds, in short. A client that finds nothing waits `deadline`.
async fn asked(steps: &[Step], deadline: Duration) -> String {
    let directory = tempdir().unwrap();
    let socket = directory.path().join("qmp.sock");
    let listener = unix::bind(&socket).unwrap();
    let fake = async {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, steps).await;
        std::future::pending::<()>().await;
    };
    let client = execute(&socket, &["query-status"], deadline);
    tokio::select! {
        answer = client => in_short(answer),
        () = fake => unreachable!("it never ends"),
    }
}

fn in_short(answer: Result<Value, Failure>) -> String {
    match answer {
        Ok(answer) => format!("ok {answer}"),
        Err(Failure { command, reason }) => match reason {
            Reason::Unreachable(error) => format!("{command}: unreachable, {:?}", error.kind()),
            Reason::Silent { .. } => format!("{command}: silent"),
            Reason::Ended => format!("{command}: ended"),
            Reason::Garbage(detail) => format!("{command}: garbage {detail}"),
            Reason::Refused(detail) => format!("{command}: refused {detail}"),
        },
    }
}

/// Time stands still while anybody has something to do, so that no deadline passes on a busy machine.
#[tokio::test(start_paused = true)]
async fn every_way_to_answer_is_told_apart() {
    let check = async |steps: &[Step], expected: &str| {
        assert_eq!(asked(steps, Duration::from_secs(5)).await, expected, "{steps:?}");
    };
    let event = "{\"timestamp\": {}, \"event\": \"RESET\"}\r\n";
    let answer = "{\"return\": 7, \"id\": 2}\r\n";
    check(&settled(&[say(answer)]), "ok 7").await;
    check(&settled(&[say(event), say(event), say(answer)]), "ok 7").await;
    // In pieces.
    check(&settled(&[say("{\"return\""), say(": 7, \"id\": 2}\r"), say("\n"), Hang]), "ok 7").await;
    // An event between greeting and settling.
    check(&[say(GREETING), say(event), Hear, say(SETTLED), Hear, say(answer)], "ok 7").await;

    check(&[Hang], "greeting: silent").await;
    check(&[say("{\"QMP\""), Hang], "greeting: silent").await;
    check(&[say(GREETING), Hear, Hang], "qmp_capabilities: silent").await;
    check(&settled(&[Hang]), "query-status: silent").await;

    check(&[], "greeting: ended").await;
    check(&[say(GREETING), Hear], "qmp_capabilities: ended").await;
    check(&settled(&[]), "query-status: ended").await;
    check(&settled(&[say("{\"return\": 7, ")]), "query-status: ended").await;

    check(&[say("HTTP/1.1 400 Bad Request\r\n"), Hang], "greeting: garbage HTTP/1.1 400 Bad Request").await;
    check(&[say("{}\r\n"), Hang], "greeting: garbage {}").await;
    check(&settled(&[say("\u{0}\u{1}\r\n"), Hang]), "query-status: garbage \u{0}\u{1}").await;
    check(&settled(&[say("7\r\n"), Hang]), "query-status: garbage 7").await;
    let wrong = "{\"return\": 7, \"id\": 3}";
    check(&settled(&[say(wrong), say("\r\n"), Hang]), &format!("query-status: garbage {wrong}")).await;
    let without = "{\"return\": 7}";
    check(&settled(&[say(without), say("\r\n"), Hang]), &format!("query-status: garbage {without}")).await;
    let endless = Repeat("x".repeat(1 << 16));
    check(std::slice::from_ref(&endless), "greeting: garbage a line of over 1048576 bytes").await;
    check(&settled(&[endless]), "query-status: garbage a line of over 1048576 bytes").await;

    let refusal = "{\"id\": 2, \"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\r\n";
    check(&settled(&[say(refusal), Hang]), "query-status: refused no").await;
}

#[tokio::test]
async fn events_are_no_answer() {
    let event = "{\"timestamp\": {}, \"event\": \"RESET\"}\r\n";
    let answer = asked(&settled(&[Repeat(event.to_owned())]), Duration::from_secs(2)).await;
    assert_eq!(answer, "query-status: silent");
}

#[tokio::test]
async fn nobody_there_is_told_apart() {
    let directory = tempdir().unwrap();
    let socket = directory.path().join("qmp.sock");
    let ask = async || in_short(execute(&socket, &["stop"], Duration::from_millis(200)).await);
    assert_eq!(ask().await, "connect: unreachable, NotFound");
    drop(unix::bind(&socket).unwrap());
    assert_eq!(ask().await, "connect: unreachable, ConnectionRefused");
}

#[test]
fn each_reason_has_its_error() {
    let vm_id: VmId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
    let check = |reason, expected: &str, transient| {
        let error = Failure { command: "stop", reason }.of(vm_id, Path::new("/run/qmp.sock"));
        assert_eq!(error.to_string().replace(&vm_id.to_string(), "V"), expected);
        assert_eq!(error.is_transient(), transient, "{error:?}");
    };
    let deadline = Duration::from_secs(5);
    check(Reason::Silent { deadline }, "the hypervisor of vm V did not answer stop within 5000 ms", true);
    check(Reason::Ended, "the hypervisor of vm V ended during stop", false);
    check(Reason::Refused("no".into()), "the hypervisor of vm V refused stop: no", false);
    let garbage = "the hypervisor of vm V answered stop with something that is not QMP: x";
    check(Reason::Garbage("x".into()), garbage, false);
    let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    check(Reason::Unreachable(refused), "cannot connect to /run/qmp.sock", false);
}
