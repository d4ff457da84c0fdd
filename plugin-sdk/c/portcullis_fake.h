// Stands in for the gateway, so that a test is a program of this machine:
//
//     int main(void) {
//         pc_fake_dns(PC_A, "1.2.0.192.list.example", "127.0.0.2");
//         CHECK(pc_fake_configure("{\"domains\": [\"closed.example\"]}") == NULL);
//         pc_recipient to = pc_fake_recipient("a@closed.example");
//         pc_verdict verdict = pc_the_plugin.rcpt(&(pc_session){0}, &(pc_transaction){0}, &to);
//         CHECK_TEXT(pc_fake_verdict(verdict), "reject 550 5.7.1 closed for good");
//         return pc_fake_result();
//     }
//
// All grants are there until pc_fake_deny. Whether an edit comes too early or too late is not known.
#ifndef PORTCULLIS_FAKE_H
#define PORTCULLIS_FAKE_H

#include "portcullis.h"

#define CHECK(truth) pc_fake_check((truth), #truth, __FILE__, __LINE__)
#define CHECK_TEXT(text, expected) pc_fake_check_text((text), (expected), #text, __FILE__, __LINE__)

typedef struct pc_lapse {
    const char *name;
    uint32_t count;
} pc_lapse;

// What a plugin looks at; what is not set is NULL. The address is 192.0.2.1 then.
struct pc_session {
    const char *address, *name, *helo, *user, *mechanism;
    uint16_t port;
    bool plain, tls_at_proxy;
    const pc_tls *tls;
    const pc_forwarded *forwarded;
    // "early-talker", "syntax-errors", ...: each so often; ended by NULL.
    const pc_lapse *conduct;
};
struct pc_transaction {
    const char *sender;
    const pc_parameter *parameters;
    size_t parameter_count;
    const pc_recipient *recipients;
    size_t recipient_count;
};
struct pc_message {
    // With CRLF or LF.
    const char *text;
    const pc_part *parts;
    size_t part_count;
    // The decoded content of the parts.
    const char *const *contents;
};

pc_recipient pc_fake_recipient(const char *address);

// Gives the settings to the plugin; NULL, or the text for the operator.
const char *pc_fake_configure(const char *settings);
// Forgets all that the fakes were told and have seen, but not the settings.
void pc_fake_reset(void);
// Takes a grant away: "dns", "kv", "http", "mail-auth", "route", "rewrite-envelope", ...
void pc_fake_deny(const char *grant);
// One record; "" is no data, NULL a time-out. Names that are not told do not exist.
void pc_fake_dns(pc_kind kind, const char *name, const char *record);
// Makes a store; others are denied. With an error, that is its answer to everything.
void pc_fake_store(const char *name, pc_error error);
// Answers every HTTP request.
void pc_fake_http(int status, const char *body);
// A service, which may be reached then, says this in each stream; NULL: nothing, until the time is over.
void pc_fake_stream(const char *address, const char *says);
// What the last stream was told, as text.
const char *pc_fake_streamed(void);
// An upstream, which may be asked then, says this to a recipient, as in "550 5.1.1 no such user"; to all others
// "250 2.1.5 ok".
void pc_fake_upstream(const char *upstream, const char *recipient, const char *reply);
// Asking it comes to this instead; PC_OK mends it.
void pc_fake_upstream_error(const char *upstream, pc_error error);
void pc_fake_upstream_state(const char *upstream, pc_upstream_state state);
// What mail-auth finds in content and of the sender.
void pc_fake_findings(const pc_finding *findings, size_t count);

// What the plugin said and did, one line each: "warn text name=value", "add-header 0 X-Seen: 1",
// "rcpt-set 0 a@b.example". Lines that contain a text; "" counts all.
size_t pc_fake_logged(const char *containing);
size_t pc_fake_edited(const char *containing);
uint64_t pc_fake_counted(const char *name);
// In words: "next", "reject 550 5.7.1 text".
const char *pc_fake_verdict(pc_verdict verdict);

void pc_fake_check(bool truth, const char *what, const char *file, int line);
void pc_fake_check_text(const char *text, const char *expected, const char *what, const char *file, int line);
// For main: 0 if all checks held.
int pc_fake_result(void);

#endif
