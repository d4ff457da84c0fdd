//! Python's aiosmtplib.

use std::process::Command;

use portcullis_tests::peers::python_with;

use super::*;

const SEND: &str = r#"
import asyncio, ssl, sys
import aiosmtplib
mode, port = sys.argv[1], int(sys.argv[2])
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
message = b"Subject: from aiosmtplib\n\n.dot\nend\n"
async def main():
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, tls_context=context,
                             use_tls=mode == "implicit", start_tls=mode == "starttls")
    async with client:
        refused, said = await client.sendmail("a@example.org", ["b@example.com"], message)
        assert refused == {}, refused
        assert said.startswith("2.0.0 "), said
        await client.noop()
        assert (await client.vrfy("b@example.com")).code == 252
asyncio.run(main())
"#;

#[test]
fn aiosmtplib_sends_in_clear_text_and_under_tls() {
    for mode in ["plain", "starttls", "implicit"] {
        let Some(python) = python_with("aiosmtplib") else { return };
        let (sink, gateway) = with_tls(if mode == "implicit" { mode } else { "starttls" });
        let port = gateway.address("mx").port().to_string();
        run(Command::new(python).args(["-c", SEND, mode, &port])).expect_success();
        let want = b"Subject: from aiosmtplib\r\n\r\n.dot\r\nend\r\n";
        assert_eq!(sink.only_letter().without_received(), want, "{mode}");
    }
}
