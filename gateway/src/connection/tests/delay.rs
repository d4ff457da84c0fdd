//! Replies that policy holds back.

use super::*;

/// A server whose policy wants the answers to these questions held back for so long.
async fn delaying(
    question: &'static str,
    delay: Duration,
    change: impl FnOnce(&mut Terms),
) -> Server {
    let server = on_terms(change).await;
    *server.heard.1.lock().unwrap() = Some((question, delay));
    server
}

async fn counted(server: &Server, result: &str) {
    let series = format!("portcullis_delays_total{{listener=\"test\",result=\"{result}\"}} 1");
    let text = || server.metrics.render();
    timeout(LONG, async {
        while !text().contains(&series) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{series} in {}", text()));
}

#[tokio::test]
async fn a_reply_that_is_held_back_comes_when_its_time_has_come_and_not_before() {
    let delay = Duration::from_millis(300);
    let server = delaying("hello", delay, |_| {}).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "220 ").await;
    let begun = Instant::now();
    say(&mut client, "EHLO c.example\r\n", "250 ").await;
    assert!(begun.elapsed() >= delay, "{:?}", begun.elapsed());
    say(&mut client, "QUIT\r\n", "221 ").await;
    counted(&server, "held").await;
}

#[tokio::test]
async fn what_was_answered_before_is_told_at_once_and_what_is_sent_meanwhile_is_kept() {
    let delay = Duration::from_millis(300);
    let server = delaying("rcpt", delay, |_| {}).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "220 ").await;
    say(&mut client, "EHLO c.example\r\n", "250 ").await;
    say(&mut client, "MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\n", "250 2.1.0").await;
    say(&mut client, "RSET\r\nQUIT\r\n", "221 ").await;
    let heard = server.heard.all();
    assert_eq!(heard[2..], ["mail ", "rcpt a@b.example", "aborted", "lost"]);
}

#[tokio::test]
async fn a_client_that_leaves_meanwhile_is_not_waited_for() {
    let server = delaying("hello", LONG, |terms| terms.pause = Duration::ZERO).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "220 ").await;
    client.write_all(b"EHLO c.example\r\nMAIL FROM:<>\r\n").await.unwrap();
    drop(client);
    counted(&server, "left").await;
    let ending = timeout(LONG / 2, server.task).await.expect("at once").unwrap();
    assert_eq!(ending.unwrap(), Ending::PeerLeft);
    let lapse = "pipelined-out-of-turn 1";
    assert_eq!(server.heard.all()[1..], [lapse, "hello c.example", "held back", "lost"]);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_who_is_held_back() {
    let server = delaying("hello", LONG, |_| {}).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "220 ").await;
    client.write_all(b"EHLO c.example\r\n").await.unwrap();
    while server.metrics.render().contains("portcullis_connections_delayed{listener=\"test\"} 0") {
        tokio::task::yield_now().await;
    }
    server.shutdown.begin();
    hear(&mut client, "421 4.3.2").await;
    counted(&server, "draining").await;
}

#[tokio::test]
async fn while_a_shutdown_goes_on_nothing_more_is_held_back() {
    let server = delaying("rcpt", LONG, |_| {}).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "220 ").await;
    say(&mut client, "EHLO c.example\r\n", "250 ").await;
    say(&mut client, "MAIL FROM:<>\r\n", "250 2.1.0").await;
    server.shutdown.begin();
    let reply = say(&mut client, "RCPT TO:<a@b.example>\r\n", "250 2.1.5");
    timeout(LONG / 2, reply).await.expect("at once");
    counted(&server, "draining").await;
}

#[tokio::test]
async fn a_client_that_resets_the_connection_has_left() {
    let server = delaying("hello", LONG, |_| {}).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    client.write_all(b"EHLO c.example\r\n").await.unwrap();
    while server.metrics.render().contains("portcullis_connections_delayed{listener=\"test\"} 0") {
        tokio::task::yield_now().await;
    }
    // The banner lies there unread: for that the system resets it.
    drop(client);
    counted(&server, "left").await;
    let ending = timeout(LONG / 2, server.task).await.expect("at once").unwrap();
    assert!(matches!(ending, Err(ConnectionError::Io(_))), "{ending:?}");
}

#[tokio::test]
async fn where_too_many_wait_already_nobody_else_does() {
    let server = delaying("hello", LONG, |terms| terms.delays = Delays::new(0)).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "220 ").await;
    say(&mut client, "EHLO c.example\r\n", "250 ").await;
    say(&mut client, "QUIT\r\n", "221 ").await;
    counted(&server, "full").await;
    server.ended_at("delayed_connections").await;
}

#[tokio::test]
async fn who_talks_while_the_banner_is_held_back_is_known_for_it() {
    let server = delaying("connect", Duration::from_millis(200), |_| {}).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    say(&mut client, "EHLO bot.example\r\n", "250 ").await;
    assert_eq!(server.heard.all(), ["connect", "early-talker 1", "hello bot.example"]);
}

#[test]
fn however_much_is_held_back_at_once_it_is_less_than_a_client_waits_for() {
    let mut patience = Patience::new();
    let minute = Duration::from_mins(1);
    let held: Duration = (0..100).map(|_| patience.held_back(minute)).sum();
    assert_eq!(held, 4 * minute);
    let session = Session::new(Arc::new(Settings::new("mx.example")), Channel::default());
    patience.wait(&session, true);
    assert_eq!(patience.held_back(minute), minute, "it was waited for");
}
