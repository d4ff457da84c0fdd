// Plugins of Portcullis in C.
//
// A plugin is a table of the hooks that it wants to be asked at, and no others:
//
//     static pc_verdict rcpt(const pc_session *s, const pc_transaction *t, const pc_recipient *r) {
//         if (strcmp(pc_domain(r->address), "closed.example") == 0)
//             return pc_reject(550, "5.7.1", "closed for good");
//         return pc_next();
//     }
//
//     PC_PLUGIN = { .rcpt = rcpt };
//
// Texts end in NUL. What the gateway hands over, and what pc_alloc and pc_format make, is there until
// the hook returns; what is made in `configure` stays for good. Nothing has to be freed.
#ifndef PORTCULLIS_H
#define PORTCULLIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Octets that may hold NUL. One more NUL follows them.
typedef struct pc_bytes {
    const uint8_t *ptr;
    size_t len;
} pc_bytes;

// What the gateway answers where it does not do what it is asked.
typedef enum pc_error {
    PC_OK,
    PC_DENIED,        // no grant for it in the configuration
    PC_TOO_LATE,      // too early or too late in the transaction
    PC_OUT_OF_RANGE,  // no such recipient, header, position or upstream, or more than is kept
    PC_MALFORMED,     // no valid address, header name, value or URL
    PC_TOO_MANY,      // more than 100 queries at once, or more than 500 in one hook
    PC_TOO_EARLY,     // the hook does not know that much yet
    PC_TOO_LARGE,
    PC_CONFLICT,      // the stored version is another one
    PC_NOT_A_COUNTER, // add to what is not a number, or beyond 64 bits
    PC_TIMED_OUT,
    PC_UNAVAILABLE,   // the store or the server does not answer
    PC_UNSUPPORTED,   // the upstream is no server that could be asked
} pc_error;

// In words, for the log.
const char *pc_error_text(pc_error error);

// Verdicts

// Three digits, an enhanced status such as "5.7.1" or NULL, printable ASCII; LF separates lines.
typedef struct pc_reply {
    int code;
    const char *status;
    const char *text;
} pc_reply;

typedef enum pc_decision {
    PC_NEXT,
    PC_ACCEPT,
    PC_REJECT,
    PC_DEFER,
    PC_DISCONNECT,
    PC_DISCARD,
    PC_QUARANTINE,
} pc_decision;

// A plugin's answer. Make it by one of the functions.
typedef struct pc_verdict {
    pc_decision decision;
    pc_reply reply;
} pc_verdict;

static inline pc_verdict pc_verdict_of(pc_decision decision, int code, const char *status, const char *text) {
    pc_verdict verdict = {decision, {code, status, text}};
    return verdict;
}

// No opinion: the next plugin is asked.
static inline pc_verdict pc_next(void) { return pc_verdict_of(PC_NEXT, 0, NULL, ""); }
// Yes, and no later plugin is asked at this hook.
static inline pc_verdict pc_accept(void) { return pc_verdict_of(PC_ACCEPT, 0, NULL, ""); }
// Refuses for good (5xx) what the hook decides on.
static inline pc_verdict pc_reject(int code, const char *status, const char *text) {
    return pc_verdict_of(PC_REJECT, code, status, text);
}
// Refuses for now (4xx).
static inline pc_verdict pc_defer(int code, const char *status, const char *text) {
    return pc_verdict_of(PC_DEFER, code, status, text);
}
// Answers (4xx or 5xx) and closes the connection.
static inline pc_verdict pc_disconnect(int code, const char *status, const char *text) {
    return pc_verdict_of(PC_DISCONNECT, code, status, text);
}
// Says yes to the client and delivers nothing; the reason is for the log. From `mail` on.
static inline pc_verdict pc_discard(const char *reason) { return pc_verdict_of(PC_DISCARD, 0, NULL, reason); }
// Says yes to the client and delivers to the quarantine; the reason is for the log.
static inline pc_verdict pc_quarantine(const char *reason) { return pc_verdict_of(PC_QUARANTINE, 0, NULL, reason); }

typedef enum pc_authenticity { PC_NOT_MINE, PC_AUTHENTICATED, PC_REFUSED, PC_CANNOT_TELL } pc_authenticity;

// The answer at `auth`: not mine to tell, who the client is, that it is not (5xx), or that nobody can
// tell now (4xx).
typedef struct pc_authentication {
    pc_authenticity answer;
    const char *identity;
    pc_reply reply;
} pc_authentication;

typedef struct pc_credentials {
    const char *mechanism;     // for example PLAIN
    const char *user;          // whose secret it is
    const char *authorization; // as whom the client wants to act, or NULL
    const char *secret;        // with the grant auth-secret, and if the mechanism reveals it, or NULL
} pc_credentials;

// Session: one connection of one client. What is not known is NULL.

typedef struct pc_session pc_session;

typedef struct pc_tls {
    const char *version, *cipher, *server_name, *client_subject;
} pc_tls;

typedef struct pc_forwarded {
    const char *name, *address, *protocol, *helo, *identity, *source;
    uint16_t port; // 0 if the proxy did not say
} pc_forwarded;

const char *pc_session_id(const pc_session *s);
const char *pc_session_listener(const pc_session *s);
// An IP address; "unix" for a client of a Unix socket, "unknown" where a proxy does not know.
const char *pc_session_client_address(const pc_session *s);
uint16_t pc_session_client_port(const pc_session *s);
const char *pc_session_client_name(const pc_session *s);
const char *pc_session_helo(const pc_session *s);
bool pc_session_esmtp(const pc_session *s);
// False in clear text.
bool pc_session_tls(const pc_session *s, pc_tls *tls);
bool pc_session_tls_at_proxy(const pc_session *s);
const char *pc_session_user(const pc_session *s);
const char *pc_session_mechanism(const pc_session *s);
bool pc_session_forwarded(const pc_session *s, pc_forwarded *forwarded);
// What this plugin saved in this session on an earlier hook; at most 64 KiB.
bool pc_session_load(const pc_session *s, pc_bytes *state);
pc_error pc_session_save(const pc_session *s, const void *state, size_t len);
// Facts that plugins tell each other, named "plugin.key".
const char *pc_session_note(const pc_session *s, const char *name);
pc_error pc_session_set_note(const pc_session *s, const char *key, const char *value);
// How often the client has done this against the manners of the protocol, such as "early-talker".
uint32_t pc_session_conduct(const pc_session *s, const char *name);
// Holds the reply of this step back, for at most 60,000 ms; the plugin does not run meanwhile. The longest counts.
pc_error pc_session_delay(const pc_session *s, uint32_t milliseconds);

// Transaction: the envelope of one mail.

typedef struct pc_transaction pc_transaction;

typedef struct pc_parameter {
    const char *keyword; // in capitals
    const char *value;   // decoded, or NULL
} pc_parameter;

typedef struct pc_recipient {
    uint32_t index; // stays the same for the whole transaction
    const char *address;
    const pc_parameter *parameters;
    size_t parameter_count;
} pc_recipient;

typedef struct pc_score {
    const char *symbol;
    double points;
} pc_score;

const char *pc_transaction_id(const pc_transaction *t);
// NULL is the null reverse-path.
const char *pc_transaction_sender(const pc_transaction *t);
// Lists: the first entry, and how many.
const pc_parameter *pc_transaction_parameters(const pc_transaction *t, size_t *count);
const pc_recipient *pc_transaction_recipients(const pc_transaction *t, size_t *count);
// Grant rewrite-envelope, as the next three. NULL is the null reverse-path.
pc_error pc_transaction_set_sender(const pc_transaction *t, const char *address);
pc_error pc_transaction_add_recipient(const pc_transaction *t, const char *address, uint32_t *index);
pc_error pc_transaction_set_recipient(const pc_transaction *t, uint32_t index, const char *address);
pc_error pc_transaction_drop_recipient(const pc_transaction *t, uint32_t index);
// Refuses one recipient after the message was seen. At `headers` and `message`.
pc_error pc_transaction_refuse_recipient(const pc_transaction *t, uint32_t index, pc_reply answer);
// Sends all recipients, or one, to an upstream of the configuration. From `rcpt` on; grant route.
pc_error pc_transaction_route(const pc_transaction *t, const char *upstream);
pc_error pc_transaction_route_recipient(const pc_transaction *t, uint32_t index, const char *upstream);
// Points under the name of a symbol, of which the listener's thresholds make a verdict.
pc_error pc_transaction_score(const pc_transaction *t, const char *symbol, double points);
const pc_score *pc_transaction_scores(const pc_transaction *t, size_t *count);

// Message: complete in `message`, headers only in `headers`.

typedef struct pc_message pc_message;

typedef struct pc_reader {
    int32_t handle;
} pc_reader;
typedef struct pc_writer {
    int32_t handle;
} pc_writer;

typedef struct pc_part {
    uint32_t index;
    bool root; // whether it is the message itself, and has no parent
    uint32_t parent;
    const char *content_type;
    const char *charset, *disposition, *file_name; // NULL if it does not say
    uint64_t size;                                 // after decoding
    bool has_extent;                               // whether it lies in the body, still encoded, here:
    uint64_t at, length;
} pc_part;

#define PC_AT_TOP 0
#define PC_AT_END (-1)

uint64_t pc_message_size(const pc_message *m);
// As received, without the empty line that ends it.
pc_bytes pc_message_header_section(const pc_message *m);
// Every value of this header, unfolded, in order.
const pc_bytes *pc_message_headers(const pc_message *m, const char *name, size_t *count);
// The first value, or NULL.
const char *pc_message_header(const pc_message *m, const char *name);
pc_reader pc_message_read_all(const pc_message *m);
pc_reader pc_message_read_body(const pc_message *m);
// The MIME parts, depth first; none in `headers`.
const pc_part *pc_message_parts(const pc_message *m, size_t *count);
// A part's decoded content. False for a multipart, or if there is no such part.
bool pc_message_read_part(const pc_message *m, uint32_t index, pc_reader *content);
// After the first `at` headers: PC_AT_TOP, PC_AT_END. Grant rewrite-headers, as the next two.
pc_error pc_message_add_header(const pc_message *m, int at, const char *name, const char *value);
// The nth of this name, counted from 0.
pc_error pc_message_set_header(const pc_message *m, const char *name, uint32_t nth, const char *value);
pc_error pc_message_drop_header(const pc_message *m, const char *name, uint32_t nth);
// All after the header section, once the writer is finished. In `message`; grant rewrite-body.
pc_error pc_message_replace_body(const pc_message *m, pc_writer *body);
// Replaces octets of the body. In `message`; grant rewrite-body.
pc_error pc_message_splice_body(const pc_message *m, uint64_t at, uint64_t length, const void *with, size_t len);

// Reads at most 64 KiB straight into the buffer; 0 is the end.
size_t pc_read(pc_reader r, void *buffer, size_t size);
// How many octets were skipped: fewer than asked at the end.
uint64_t pc_skip(pc_reader r, uint64_t count);
// The offset from here of the first occurrence within the next octets. The gateway searches.
bool pc_find(pc_reader r, const void *needle, size_t len, uint64_t within, uint64_t *offset);
// Of the rest; the position stays where it is.
void pc_sha256(pc_reader r, uint8_t digest[32]);
// Only needed by those who open many.
void pc_reader_close(pc_reader r);
pc_error pc_write(pc_writer w, const void *chunk, size_t len);
// Copies without passing through the plugin.
pc_error pc_write_copy(pc_writer w, pc_reader source, uint64_t count, uint64_t *copied);
pc_error pc_write_finish(pc_writer w);

// What became of sessions and mails, after the event. What there was not is NULL.
typedef struct pc_outcome {
    const char *session, *transaction, *listener, *client_address;
    const char *stage; // connect, helo, auth, mail, rcpt, message, delivery, disconnect, ...
    const char *sender, *recipient;
    const char *by; // the plugin that decided, or the upstream that answered
    int code;       // 0 where there was no reply
    const char *text;
    uint64_t time; // milliseconds since 1970
} pc_outcome;

// Log and metrics

typedef enum pc_level { PC_TRACE, PC_DEBUG, PC_INFO, PC_WARN, PC_ERROR } pc_level;

bool pc_log_enabled(pc_level level);
void pc_log(pc_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Fields are names and values in turn, and NULL at the end.
void pc_log_fields(pc_level level, const char *text, const char *const *fields);
// Logs at error and fails: the gateway answers the client by the plugin's on_failure.
_Noreturn void pc_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

// portcullis_plugin_<plugin>_<name>_total, and the histogram without _total.
void pc_count(const char *name, uint64_t by);
void pc_count_label(const char *name, uint64_t by, const char *label, const char *value);
void pc_observe(const char *name, double value);

// Milliseconds since 1970, and nanoseconds since some moment.
uint64_t pc_now(void);
uint64_t pc_monotonic(void);
// From the operating system's generator, at most 64 KiB, and not in `configure`.
void pc_random(void *buffer, size_t len);

// DNS. Grant dns.

typedef enum pc_kind { PC_A, PC_AAAA, PC_MX, PC_NS, PC_TXT, PC_PTR, PC_CNAME, PC_SRV, PC_TLSA } pc_kind;

typedef struct pc_query {
    const char *name; // for PC_PTR an IP address will do
    pc_kind kind;
} pc_query;

typedef enum pc_answer_kind {
    PC_RECORDS,
    PC_NO_SUCH_NAME,
    PC_NO_DATA,
    PC_LOOKUP_FAILED,   // neither yes nor no, as the next one
    PC_LOOKUP_TIMED_OUT,
} pc_answer_kind;

typedef struct pc_answer {
    pc_answer_kind kind;
    const char *const *records; // as in a zone file, without the dot at the end
    size_t count;
    const char *reason; // why it failed
} pc_answer;

// All at once; answers in the order of the queries.
pc_error pc_lookup(const pc_query *queries, size_t count, pc_answer *answers);
// One question. Without the grant it has failed.
pc_answer pc_lookup_one(const char *name, pc_kind kind);

// Stores of the configuration. Grant kv. Open them in the hook, not in `configure`.

typedef struct pc_store {
    int32_t handle;
} pc_store;

typedef struct pc_entry {
    bool found;
    pc_bytes value;
    uint64_t version;
} pc_entry;

#define PC_FOR_EVER 0
#define PC_ANY_VERSION UINT64_MAX
#define PC_IF_ABSENT 0

pc_error pc_store_open(const char *name, pc_store *store);
pc_error pc_store_get(pc_store s, const char *key, pc_entry *entry);
pc_error pc_store_get_all(pc_store s, const char *const *keys, size_t count, pc_entry *entries);
// `expect` is the version that must be stored now. `version` may be NULL.
pc_error pc_store_put(pc_store s, const char *key, const void *value, size_t len, uint32_t ttl_seconds, uint64_t expect, uint64_t *version);
// Atomic. The time to live is set when the counter is made.
pc_error pc_store_add(pc_store s, const char *key, int64_t by, uint32_t ttl_seconds, int64_t *sum);
pc_error pc_store_delete(pc_store s, const char *key);
void pc_store_close(pc_store s);

// HTTP to origins that were granted. Grant http.

typedef struct pc_header {
    const char *name;
    pc_bytes value;
} pc_header;

typedef struct pc_request {
    const char *method, *url;
    const pc_header *headers;
    size_t header_count;
    pc_bytes body;       // at most 1 MiB
    uint32_t timeout_ms; // 0: what is left of the time_limit
} pc_request;

typedef struct pc_response {
    pc_error error; // PC_OK, PC_DENIED, PC_MALFORMED, PC_TOO_LARGE, PC_TIMED_OUT, PC_UNAVAILABLE
    const char *reason;
    int status;
    const pc_header *headers;
    size_t header_count;
    pc_bytes body;
} pc_response;

// All at once, at most 16.
void pc_http(const pc_request *requests, size_t count, pc_response *responses);
// One whose body is the rest of what the reader has.
pc_response pc_http_content(const pc_request *request, pc_reader content);

// Connections to services that do not speak HTTP. Grant streams. Each ends with the hook that opened it.

typedef struct pc_stream {
    int32_t handle;
} pc_stream;

// To "host:port" or "unix:/path", letter by letter as it is granted. The time, 0 for what is left of the
// time_limit, is that of every later call as well. PC_DENIED, PC_TOO_MANY (16 are open), PC_TIMED_OUT,
// PC_UNAVAILABLE.
pc_error pc_stream_open(const char *address, uint32_t timeout_ms, pc_stream *s);
// All of it, at most 1 MiB.
pc_error pc_stream_write(pc_stream s, const void *octets, size_t len);
// What the reader still has, at most so much, without passing through the plugin; how much it was.
pc_error pc_stream_write_content(pc_stream s, pc_reader content, uint64_t most, uint64_t *written);
// Waits for something, and gives at most so much, never more than 64 KiB; nothing is the end.
pc_error pc_stream_read(pc_stream s, uint32_t most, pc_bytes *octets);
void pc_stream_close(pc_stream s);

// Upstreams of the configuration. Grant upstreams.

typedef struct pc_upstream_state {
    bool available;                           // false: all its addresses are down
    uint64_t connections, busy, waiting, limit; // in all, in a transaction, for one; 0 is no limit
} pc_upstream_state;

// Whether an upstream would take mail for these recipients, at most 100; a reply each, in their order. No
// sender (NULL) is the null reverse-path. PC_DENIED, PC_TOO_MANY, PC_UNSUPPORTED, PC_TIMED_OUT,
// PC_UNAVAILABLE.
pc_error pc_verify_all(const char *upstream, const char *sender, const char *const *recipients, size_t count, pc_reply *replies);
pc_error pc_verify(const char *upstream, const char *sender, const char *recipient, pc_reply *reply);
pc_error pc_upstream(const char *upstream, pc_upstream_state *state);

// What the gateway found out about who sent the message, in the words of RFC 8601. Grant mail-auth.

typedef struct pc_property {
    const char *name, *value;
} pc_property;

typedef struct pc_finding {
    const char *method;  // iprev, spf, dkim, dmarc, arc
    const char *outcome; // pass, fail, softfail, neutral, none, temperror, permerror, policy
    const char *reason;  // or NULL
    const pc_property *properties;
    size_t property_count;
} pc_finding;

// iprev and SPF. From `mail` on.
pc_error pc_authenticate_sender(const pc_session *s, const pc_transaction *t, const pc_finding **findings, size_t *count);
// DKIM, ARC and DMARC. In `message`.
pc_error pc_authenticate_content(const pc_session *s, const pc_transaction *t, const pc_message *m, const pc_finding **findings, size_t *count);

// Memory that is there until the hook returns; for good, if it is asked for in `configure`.

void *pc_alloc(size_t size);
char *pc_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
// In small letters (ASCII).
char *pc_lower(const char *text);
// Whether texts are the same but for capitals (ASCII).
bool pc_same(const char *a, const char *b);
// What follows an address's last @, in small letters; "" if there is none.
const char *pc_domain(const char *address);
// What comes before it.
const char *pc_local_part(const char *address);
// The client's IPv4 address.
bool pc_client_ipv4(const pc_session *s, uint8_t octets[4]);
// The name under which a list in DNS has an IPv4 address (RFC 5782): 1.2.0.192.list.example.
const char *pc_reverse_name(const uint8_t octets[4], const char *zone);

// Settings: what stands under `settings:` in the configuration.

typedef enum pc_json_kind { PC_JSON_NULL, PC_JSON_BOOL, PC_JSON_NUMBER, PC_JSON_TEXT, PC_JSON_LIST, PC_JSON_SECTION } pc_json_kind;

typedef struct pc_json {
    pc_json_kind kind;
    const char *key; // within a section
    bool truth;
    double number;
    const char *text;
    const struct pc_json *items; // of a list or section
    size_t count;
} pc_json;

// The value under a key, or NULL.
const pc_json *pc_json_get(const pc_json *section, const char *key);
// What a configure function returns of these is the text for the operator; NULL is well done.
// Complains of keys that are not among these; NULL ends them.
const char *pc_json_only(const pc_json *section, const char *const *keys);
// Each leaves the variable as it is where the key is not there.
const char *pc_json_text(const pc_json *section, const char *key, const char **text);
const char *pc_json_whole(const pc_json *section, const char *key, int64_t *number);
const char *pc_json_number(const pc_json *section, const char *key, double *number);
const char *pc_json_bool(const pc_json *section, const char *key, bool *truth);
const char *pc_json_texts(const pc_json *section, const char *key, const char *const **texts, size_t *count);

// The plugin

typedef struct pc_plugin {
    // Reads the settings. NULL is well done; else the operator reads the text.
    const char *(*configure)(const pc_json *settings);
    // Whether these settings need a hook, by its name ("rcpt"). If not, it costs nothing.
    bool (*wants)(const char *hook);
    pc_verdict (*connect)(const pc_session *s);
    pc_verdict (*helo)(const pc_session *s, const char *name);
    pc_authentication (*auth)(const pc_session *s, const pc_credentials *c);
    pc_verdict (*mail)(const pc_session *s, const pc_transaction *t);
    // The recipient is not yet among those of the transaction.
    pc_verdict (*rcpt)(const pc_session *s, const pc_transaction *t, const pc_recipient *r);
    pc_verdict (*data)(const pc_session *s, const pc_transaction *t);
    pc_verdict (*headers)(const pc_session *s, const pc_transaction *t, const pc_message *m);
    pc_verdict (*message)(const pc_session *s, const pc_transaction *t, const pc_message *m);
    void (*outcome)(const pc_outcome *events, size_t count);
} pc_plugin;

extern const pc_plugin pc_the_plugin;

#define PC_PLUGIN const pc_plugin pc_the_plugin

#ifdef __cplusplus
}
#endif

#endif
