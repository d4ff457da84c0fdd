//! Known attacks on mail servers, and where each of them is stopped.
//!
//! This module holds no code; it is the list to go through before one changes the parser or the
//! session.
//!
//! | hazard | what happens elsewhere | stopped in |
//! |---|---|---|
//! | smuggling (CVE-2023-51764, -51765, -51766) | `LF.LF`, `LF.CRLF`, `CR.CR` ... end the content for one server and not for the next: the second message inside it is nobody's | `body.rs`: only CRLF.CRLF ends, and what comes out holds no bare CR or LF, so that the next server cannot see another end; nor NUL, for those that leave NULs out |
//! | the tail of a refused message is run as commands | an early refusal of a large message leaves its rest in the input | `server/intake.rs`: whatever is refused is swallowed to its end |
//! | a refused chunk is run as commands (go-smtp) | BDAT is refused for its order, its recipients or its size, and its octets stay in the input | `server/chunk.rs`: whatever is refused, exactly its octets are swallowed first; in `BDAT 6 FIRST`, too |
//! | a chunk of unknown size | `BDAT x`, 2^64+1, a NUL or tab in the line: two servers disagree about where the next command begins | `command.rs`, `lines.rs`, `server/chunk.rs`: 501, and the connection closes |
//! | half a message | of pipelined chunks one is refused and a later LAST is taken for a message | `server/chunk.rs`: a refused chunk fails its transaction |
//! | answers out of step | an LMTP client that counts on a reply for each recipient takes the next command's reply for one that did not come | `server/verdict.rs`, `server/chunk.rs`: as many replies as recipients, to what is refused, too |
//! | an end inside a chunk | bare newlines in a chunk are passed on by DATA, to a server that sees CRLF.CRLF in them | `body.rs`: the same rule as after DATA; binary content is never passed on by DATA |
//! | newline injection through commands | a path with a bare CR or LF is copied into a command to the next server | `lines.rs` refuses the line; a [`Mailbox`](crate::Mailbox) holds no control characters by construction |
//! | STARTTLS injection (CVE-2011-0411) | commands pipelined in clear text behind STARTTLS are run inside TLS | `server.rs`: what stands behind STARTTLS is forgotten, and so is the whole conversation |
//! | STARTTLS response injection (NO STARTTLS, 2021) | a server's clear-text octets behind the 220 are read as replies inside TLS | the client session |
//! | CRLF in replies | text of a plugin or an upstream, or an echo of the client's words, starts a second reply line | `reply.rs`: a [`Reply`](crate::Reply) is printable by construction; this crate's own replies never echo the client, but for addresses in ASCII |
//! | a verdict that changes the protocol's state | a hook's 354 to MAIL makes the client send content as commands | `server/verdict.rs`: a yes is said in 2xx only |
//! | cross-protocol requests (ALPACA class) | a browser posts an HTML form whose lines are commands | `command.rs`: the first line of HTTP ends the conversation |
//! | endless lines | a line without an end is kept in memory | `lines.rs`: bounded, swallowed, refused at its end |
//! | endless mistakes | a client that probes for ever | `server.rs`: 421 after [`Limits::errors`](crate::server::Limits::errors), sooner after [`Limits::unknown_commands`](crate::server::Limits::unknown_commands) |
//! | endless idling | a client that says NOOP, RSET, EHLO for ever holds its place | `server.rs`: 421 after [`Limits::idle_commands`](crate::server::Limits::idle_commands) without a message, what policy refuses among them |
//! | address harvesting | a client asks by RCPT which addresses there are | `server.rs`: 421 after [`Limits::refused_recipients`](crate::server::Limits::refused_recipients) |
//! | content before the 354 | a client that does not wait sends content behind a DATA that is refused, and lines in it are run as commands | they are run, as what they are by RFC 5321; the first few that are no commands end the conversation (`unknown_commands`). [`Pipelining::Refuse`](crate::server::Pipelining::Refuse) ends it before the first |
//! | a password in clear text | whoever listens has it | `server/phase.rs`: AUTH is neither announced nor taken without TLS, unless [`Auth::in_clear`](crate::server::Auth::in_clear); whoever tries is told nothing of mechanisms |
//! | a stripped mechanism | somebody between client and server takes the better ones out of the EHLO answer, or passes an exchange on from one TLS connection to another | `server/auth/scram.rs`: the client's flag `y` where -PLUS was offered, and bindings of another channel, end the exchange |
//! | who is there? | the salt, the words or the moment of a refusal differ for users who do not exist | `server/auth.rs`: an unknown user has a salt that stays (`sasl/decoy.rs`), is asked for the same proof, and fails at the same place with the same words; for passwords this is policy's to do |
//! | comparing octet by octet | the time that a wrong proof takes tells how much of it is right | proofs are compared in constant time (`subtle`) |
//! | a proof that is no proof | a decoy's verifier goes with something that somebody can guess | `server/auth.rs`: for whom policy does not know, whatever was proved is not true |
//! | guessing | a connection is good for any number of passwords | `server/auth.rs`: 421 after [`Limits::auth_failures`](crate::server::Limits::auth_failures); policy hears of each |
//! | passwords in logs | what is debugged, counted or traced holds what the client said | `sasl.rs`, `server/auth.rs`, `lines.rs`: nothing that holds a secret or a proof shows it, and what was decoded is wiped when it is dropped |
//! | logged in before STARTTLS | what was said in clear text holds under TLS | `server.rs`: the handshake forgets who the client was |
//! | loops | two servers send a message to each other | `header.rs` counts Received fields |
//! | header sections that cost | 64,000 empty fields, or one without an end, for whoever reads them next | `header.rs` counts octets and fields |
//! | newline injection through encodings | `ENVID=a+0D+0AQUIT` is harmless until somebody decodes it and writes it down, or copies it undecoded to a server that was not asked | `parameter/value.rs`: what is decoded is printable; `Parameter::word` encodes it anew |
//! | characters that deceive | U+2028 ends a line for some readers of a log, U+202E turns the rest of it round, U+0085 and U+009B are controls, U+200B makes another address that looks the same | `address/international.rs`: none of them is in a [`Mailbox`](crate::Mailbox), a [`Parameter`](crate::Parameter), the name of a user or what a proxy says |
//! | one domain in two forms | a rule for `xn--bcher-kva.example` does not fit the same domain in UTF-8, or with a full-width letter | [`Mailbox::ascii_domain`](crate::Mailbox::ascii_domain) for comparisons; what IDNA would map to something else is refused |
//! | numbers that wrap | SIZE=2^64+1 is one octet | `server/phase.rs`: what does not fit is too large |
//! | a client that names itself somebody else | XCLIENT, XFORWARD or a PROXY header from anybody forges addresses, logs and logins | `server/phase.rs`: 550 unless the driver has given the channel that right, by networks that the operator lists; a PROXY line from elsewhere is an unknown command |
//! | a header smuggled before or behind TLS | who reads too much behind a PROXY header hands clear text to the session, or loses the handshake's beginning | `proxy.rs`: a [`Parser`](crate::proxy::Parser) never takes an octet beyond the header's end |
