// The gateway of tests, in memory. Nothing is ever freed: tests are short.
#include "portcullis_fake.h"
#include "portcullis_inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct line {
    struct line *before;
    char *text;
} line;

typedef struct record {
    struct record *before;
    const char *name, *value;
    int kind;
    int64_t number;
} record;

static line *logged, *edits;
static record *denied, *records, *stores, *entries, *counters, *notes, *services, *upstreams, *verified;
static pc_bytes saved;
static bool is_saved;
static int http_status;
static const char *http_body;
static const char *stream_said = "", *stream_heard = "";
static pc_error stream_error;
static const pc_finding *found;
static size_t found_count;
static int failures;

static char *format(const char *form, va_list values) {
    va_list again;
    va_copy(again, values);
    size_t size = (size_t)vsnprintf(NULL, 0, form, again) + 1;
    va_end(again);
    char *text = malloc(size);
    vsnprintf(text, size, form, values);
    return text;
}

static char *copy(const char *text) { return strcpy(malloc(strlen(text) + 1), text); }

static void append(line **to, const char *form, ...) {
    va_list values;
    va_start(values, form);
    line *next = malloc(sizeof *next);
    *next = (line){*to, format(form, values)};
    *to = next;
    va_end(values);
}

static record *find(record *from, const char *name, int kind) {
    while (from && (from->kind != kind || strcmp(from->name, name) != 0)) from = from->before;
    return from;
}

static record *put(record **to, const char *name, int kind, const char *value) {
    record *r = find(*to, name, kind);
    if (!r) {
        r = malloc(sizeof *r);
        *r = (record){*to, copy(name), NULL, kind, 0};
        *to = r;
    }
    r->value = value ? copy(value) : NULL;
    return r;
}

static bool granted(const char *grant) { return !find(denied, grant, 0); }

static size_t count(const line *from, const char *containing) {
    size_t lines = 0;
    for (; from; from = from->before) lines += strstr(from->text, containing) != NULL;
    return lines;
}

pc_recipient pc_fake_recipient(const char *address) { return (pc_recipient){.address = address}; }

const char *pc_fake_configure(const char *settings) {
    const char *mistake = pc_configure(settings);
    pc_memory_keep();
    return mistake;
}

void pc_fake_reset(void) {
    logged = edits = NULL;
    denied = records = stores = entries = counters = notes = services = upstreams = verified = NULL;
    is_saved = false;
    http_status = 0;
    found_count = 0;
}

void pc_fake_deny(const char *grant) { put(&denied, grant, 0, NULL); }

void pc_fake_dns(pc_kind kind, const char *name, const char *value) { put(&records, name, (int)kind, value); }

void pc_fake_store(const char *name, pc_error error) { put(&stores, name, 0, "")->number = error; }

void pc_fake_http(int status, const char *body) {
    http_status = status;
    http_body = body;
}

void pc_fake_stream(const char *address, const char *says) { put(&services, address, 0, says); }

const char *pc_fake_streamed(void) { return stream_heard; }

void pc_fake_upstream(const char *upstream, const char *recipient, const char *reply) {
    pc_fake_upstream_error(upstream, PC_OK);
    put(&verified, pc_format("%s %s", upstream, recipient), 0, reply);
}

void pc_fake_upstream_error(const char *upstream, pc_error error) { put(&upstreams, upstream, 0, "")->number = error; }

void pc_fake_upstream_state(const char *upstream, pc_upstream_state state) {
    pc_fake_upstream_error(upstream, PC_OK);
    pc_upstream_state *kept = malloc(sizeof *kept);
    *kept = state;
    put(&upstreams, upstream, 1, "")->number = (int64_t)(intptr_t)kept;
}

void pc_fake_findings(const pc_finding *findings, size_t findings_count) {
    found = findings;
    found_count = findings_count;
}

size_t pc_fake_logged(const char *containing) { return count(logged, containing); }

size_t pc_fake_edited(const char *containing) { return count(edits, containing); }

uint64_t pc_fake_counted(const char *name) {
    record *r = find(counters, name, 0);
    return r ? (uint64_t)r->number : 0;
}

const char *pc_fake_verdict(pc_verdict v) {
    static const char *const names[] = {"next", "accept", "reject", "defer", "disconnect", "discard", "quarantine"};
    const char *name = names[v.decision];
    if (v.decision <= PC_ACCEPT) return name;
    if (v.decision >= PC_DISCARD) return pc_format("%s %s", name, v.reply.text);
    const char *status = v.reply.status ? v.reply.status : "";
    return pc_format("%s %d %s%s%s", name, v.reply.code, status, *status ? " " : "", v.reply.text);
}

void pc_fake_check(bool truth, const char *what, const char *file, int at) {
    if (truth) return;
    fprintf(stderr, "%s:%d: not so: %s\n", file, at, what);
    failures++;
}

void pc_fake_check_text(const char *text, const char *expected, const char *what, const char *file, int at) {
    if (text && strcmp(text, expected) == 0) return;
    fprintf(stderr, "%s:%d: %s is \"%s\", not \"%s\"\n", file, at, what, text ? text : "NULL", expected);
    failures++;
}

int pc_fake_result(void) { return failures ? EXIT_FAILURE : EXIT_SUCCESS; }

_Noreturn void pc_stop(void) {
    fprintf(stderr, "the plugin has failed: %s\n", logged ? logged->text : "");
    exit(EXIT_FAILURE);
}

// What plugins ask of the gateway

const char *pc_session_id(const pc_session *s) { return (void)s, "session"; }
const char *pc_session_listener(const pc_session *s) { return (void)s, "mx"; }
const char *pc_session_client_address(const pc_session *s) { return s->address ? s->address : "192.0.2.1"; }
uint16_t pc_session_client_port(const pc_session *s) { return s->port; }
const char *pc_session_client_name(const pc_session *s) { return s->name; }
const char *pc_session_helo(const pc_session *s) { return s->helo; }
bool pc_session_esmtp(const pc_session *s) { return !s->plain; }
bool pc_session_tls_at_proxy(const pc_session *s) { return s->tls_at_proxy; }
const char *pc_session_user(const pc_session *s) { return s->user; }
const char *pc_session_mechanism(const pc_session *s) { return s->mechanism; }

bool pc_session_tls(const pc_session *s, pc_tls *tls) {
    if (s->tls) *tls = *s->tls;
    return s->tls;
}

bool pc_session_forwarded(const pc_session *s, pc_forwarded *forwarded) {
    if (s->forwarded) *forwarded = *s->forwarded;
    return s->forwarded;
}

bool pc_session_load(const pc_session *s, pc_bytes *state) {
    (void)s;
    if (is_saved) *state = saved;
    return is_saved;
}

pc_error pc_session_save(const pc_session *s, const void *state, size_t len) {
    (void)s;
    if (len > 64 << 10) return PC_OUT_OF_RANGE;
    is_saved = true;
    saved = (pc_bytes){memcpy(malloc(len + 1), state, len), len};
    return PC_OK;
}

const char *pc_session_note(const pc_session *s, const char *name) {
    (void)s;
    record *r = find(notes, name, 0);
    return r ? r->value : NULL;
}

pc_error pc_session_set_note(const pc_session *s, const char *key, const char *value) {
    (void)s;
    put(&notes, pc_format("plugin.%s", key), 0, value);
    return PC_OK;
}

uint32_t pc_session_conduct(const pc_session *s, const char *name) {
    for (const pc_lapse *lapse = s->conduct; lapse && lapse->name; lapse++)
        if (!strcmp(lapse->name, name)) return lapse->count;
    return 0;
}

pc_error pc_session_delay(const pc_session *s, uint32_t milliseconds) {
    (void)s;
    if (milliseconds > 60000) return PC_OUT_OF_RANGE;
    append(&edits, "delay %u", milliseconds);
    return PC_OK;
}

const char *pc_transaction_id(const pc_transaction *t) { return (void)t, "session.1"; }
const char *pc_transaction_sender(const pc_transaction *t) { return t->sender; }

const pc_parameter *pc_transaction_parameters(const pc_transaction *t, size_t *number) {
    *number = t->parameter_count;
    return t->parameters;
}

const pc_recipient *pc_transaction_recipients(const pc_transaction *t, size_t *number) {
    *number = t->recipient_count;
    return t->recipients;
}

#define EDIT(grant, ...) \
    do { \
        if (!granted(grant)) return PC_DENIED; \
        append(&edits, __VA_ARGS__); \
        return PC_OK; \
    } while (0)

pc_error pc_transaction_set_sender(const pc_transaction *t, const char *address) {
    (void)t;
    EDIT("rewrite-envelope", "sender %s", address ? address : "<>");
}

pc_error pc_transaction_add_recipient(const pc_transaction *t, const char *address, uint32_t *index) {
    if (index) *index = (uint32_t)(t->recipient_count + pc_fake_edited("rcpt-add "));
    EDIT("rewrite-envelope", "rcpt-add %s", address);
}

pc_error pc_transaction_set_recipient(const pc_transaction *t, uint32_t index, const char *address) {
    (void)t;
    EDIT("rewrite-envelope", "rcpt-set %u %s", index, address);
}

pc_error pc_transaction_drop_recipient(const pc_transaction *t, uint32_t index) {
    (void)t;
    EDIT("rewrite-envelope", "rcpt-drop %u", index);
}

pc_error pc_transaction_refuse_recipient(const pc_transaction *t, uint32_t index, pc_reply answer) {
    (void)t;
    EDIT("", "rcpt-refuse %u %d %s", index, answer.code, answer.text);
}

pc_error pc_transaction_route(const pc_transaction *t, const char *upstream) {
    (void)t;
    EDIT("route", "route %s", upstream);
}

pc_error pc_transaction_route_recipient(const pc_transaction *t, uint32_t index, const char *upstream) {
    (void)t;
    EDIT("route", "route %u %s", index, upstream);
}

pc_error pc_transaction_score(const pc_transaction *t, const char *symbol, double points) {
    (void)t;
    EDIT("", "score %s %g", symbol, points);
}

const pc_score *pc_transaction_scores(const pc_transaction *t, size_t *number) {
    (void)t;
    *number = 0;
    return NULL;
}

// Readers know what is left of their text.
enum { READERS = 1000 };
static struct {
    const char *at;
    size_t left;
} readers[READERS];
static int32_t reader_count;

static pc_reader reader(const char *text, size_t len) {
    if (reader_count == READERS) pc_fail("more than %d readers", READERS);
    readers[reader_count].at = text;
    readers[reader_count].left = len;
    return (pc_reader){reader_count++};
}

// Where the body begins.
static const char *body(const pc_message *m) {
    const char *at = strstr(m->text, "\n\r\n"), *bare = strstr(m->text, "\n\n");
    if (at && (!bare || at < bare)) return at + 3;
    return bare ? bare + 2 : m->text + strlen(m->text);
}

uint64_t pc_message_size(const pc_message *m) { return strlen(m->text); }

pc_bytes pc_message_header_section(const pc_message *m) {
    const char *end = body(m);
    if (end > m->text && *end) end -= end[-2] == '\r' ? 2 : 1;
    return (pc_bytes){(const uint8_t *)m->text, (size_t)(end - m->text)};
}

const pc_bytes *pc_message_headers(const pc_message *m, const char *name, size_t *number) {
    enum { MOST = 100 };
    pc_bytes *all = pc_alloc(MOST * sizeof *all);
    const char *end = body(m);
    size_t len = strlen(name);
    *number = 0;
    for (const char *at = m->text; at < end && *number < MOST;) {
        const char *line_end = at;
        do line_end = strchr(line_end, '\n') ? strchr(line_end, '\n') + 1 : end;
        while (line_end < end && (*line_end == ' ' || *line_end == '\t'));
        if (at[len] == ':' && pc_same(pc_format("%.*s", (int)len, at), name)) {
            const char *from = at + len + 1;
            while (*from == ' ') from++;
            char *value = pc_alloc((size_t)(line_end - from) + 1), *to = value;
            for (; from < line_end; from++)
                if (*from != '\r' && *from != '\n') *to++ = *from;
            *to = 0;
            all[(*number)++] = (pc_bytes){(uint8_t *)value, (size_t)(to - value)};
        }
        at = line_end;
    }
    return all;
}

const char *pc_message_header(const pc_message *m, const char *name) {
    size_t number;
    const pc_bytes *all = pc_message_headers(m, name, &number);
    return number ? (const char *)all[0].ptr : NULL;
}

pc_reader pc_message_read_all(const pc_message *m) { return reader(m->text, strlen(m->text)); }
pc_reader pc_message_read_body(const pc_message *m) { return reader(body(m), strlen(body(m))); }

const pc_part *pc_message_parts(const pc_message *m, size_t *number) {
    *number = m->part_count;
    return m->parts;
}

bool pc_message_read_part(const pc_message *m, uint32_t index, pc_reader *content) {
    if (index >= m->part_count || !m->contents || !m->contents[index]) return false;
    *content = reader(m->contents[index], strlen(m->contents[index]));
    return true;
}

pc_error pc_message_add_header(const pc_message *m, int at, const char *name, const char *value) {
    (void)m;
    EDIT("rewrite-headers", "add-header %d %s: %s", at, name, value);
}

pc_error pc_message_set_header(const pc_message *m, const char *name, uint32_t nth, const char *value) {
    (void)m;
    EDIT("rewrite-headers", "set-header %u %s: %s", nth, name, value);
}

pc_error pc_message_drop_header(const pc_message *m, const char *name, uint32_t nth) {
    (void)m;
    EDIT("rewrite-headers", "drop-header %u %s", nth, name);
}

pc_error pc_message_replace_body(const pc_message *m, pc_writer *to) {
    (void)m;
    to->handle = 0;
    EDIT("rewrite-body", "replace-body");
}

pc_error pc_message_splice_body(const pc_message *m, uint64_t at, uint64_t length, const void *with, size_t len) {
    if (at + length > strlen(body(m))) return PC_OUT_OF_RANGE;
    EDIT("rewrite-body", "splice-body %u %u %.*s", (unsigned)at, (unsigned)length, (int)len, (const char *)with);
}

size_t pc_read(pc_reader r, void *buffer, size_t size) {
    size_t len = readers[r.handle].left < size ? readers[r.handle].left : size;
    memcpy(buffer, readers[r.handle].at, len);
    return (size_t)pc_skip(r, len);
}

uint64_t pc_skip(pc_reader r, uint64_t skipped) {
    if (skipped > readers[r.handle].left) skipped = readers[r.handle].left;
    readers[r.handle].at += skipped;
    readers[r.handle].left -= (size_t)skipped;
    return skipped;
}

bool pc_find(pc_reader r, const void *needle, size_t len, uint64_t within, uint64_t *offset) {
    size_t left = readers[r.handle].left < within ? readers[r.handle].left : (size_t)within;
    for (size_t i = 0; i + len <= left; i++) {
        if (memcmp(readers[r.handle].at + i, needle, len) != 0) continue;
        *offset = i;
        return true;
    }
    return false;
}

void pc_sha256(pc_reader r, uint8_t digest[32]) {
    (void)r;
    memset(digest, 0, 32);
    pc_fail("the fakes have no SHA-256");
}

void pc_reader_close(pc_reader r) { (void)r; }

pc_error pc_write(pc_writer w, const void *chunk, size_t len) {
    (void)w;
    EDIT("rewrite-body", "write %.*s", (int)len, (const char *)chunk);
}

pc_error pc_write_copy(pc_writer w, pc_reader source, uint64_t number, uint64_t *copied) {
    (void)w;
    const char *from = readers[source.handle].at;
    number = pc_skip(source, number);
    if (copied) *copied = number;
    EDIT("rewrite-body", "write %.*s", (int)number, from);
}

pc_error pc_write_finish(pc_writer w) {
    (void)w;
    EDIT("rewrite-body", "finish");
}

bool pc_log_enabled(pc_level level) { return (void)level, true; }

void pc_log_fields(pc_level level, const char *text, const char *const *fields) {
    static const char *const names[] = {"trace", "debug", "info", "warn", "error"};
    append(&logged, "%s %s", names[level], text);
    for (; fields[0]; fields += 2) {
        line *last = logged;
        logged = last->before;
        append(&logged, "%s %s=%s", last->text, fields[0], fields[1]);
    }
}

void pc_count(const char *name, uint64_t by) {
    record *r = find(counters, name, 0);
    if (!r) r = put(&counters, name, 0, NULL);
    r->number += (int64_t)by;
}

void pc_count_label(const char *name, uint64_t by, const char *label, const char *value) {
    pc_count(pc_format("%s{%s=%s}", name, label, value), by);
}

void pc_observe(const char *name, double value) { append(&logged, "observed %s %g", name, value); }

uint64_t pc_now(void) { return (uint64_t)time(NULL) * 1000; }
uint64_t pc_monotonic(void) { return pc_now() * 1000000; }

// Counts from 0: tests want to know.
void pc_random(void *buffer, size_t len) {
    for (size_t i = 0; i < len; i++) ((uint8_t *)buffer)[i] = (uint8_t)i;
}

pc_error pc_lookup(const pc_query *queries, size_t number, pc_answer *answers) {
    if (!granted("dns")) return PC_DENIED;
    if (number > 100) return PC_TOO_MANY;
    for (size_t i = 0; i < number; i++) {
        record *r = find(records, queries[i].name, (int)queries[i].kind);
        answers[i] = (pc_answer){.kind = PC_NO_SUCH_NAME, .reason = ""};
        if (r && !r->value) answers[i] = (pc_answer){.kind = PC_LOOKUP_TIMED_OUT, .reason = "timed out"};
        if (r && r->value) answers[i].kind = *r->value ? PC_RECORDS : PC_NO_DATA;
        if (answers[i].kind != PC_RECORDS) continue;
        answers[i].records = &r->value;
        answers[i].count = 1;
    }
    return PC_OK;
}

pc_error pc_store_open(const char *name, pc_store *s) {
    record *r = find(stores, name, 0);
    if (!r || !granted("kv")) return PC_DENIED;
    s->handle = (int32_t)r->number;
    return PC_OK;
}

// A store's handle is the error that it answers.
pc_error pc_store_get_all(pc_store s, const char *const *keys, size_t number, pc_entry *into) {
    for (size_t i = 0; i < number && !s.handle; i++) {
        record *r = find(entries, keys[i], 0);
        into[i] = (pc_entry){.found = r};
        if (r) into[i].value = (pc_bytes){(const uint8_t *)r->value, strlen(r->value)}, into[i].version = (uint64_t)r->number;
    }
    return (pc_error)s.handle;
}

pc_error pc_store_put(pc_store s, const char *key, const void *value, size_t len, uint32_t ttl_seconds, uint64_t expect, uint64_t *version) {
    (void)ttl_seconds;
    record *r = find(entries, key, 0);
    uint64_t stored = r ? (uint64_t)r->number : 0;
    if (s.handle) return (pc_error)s.handle;
    if (expect != PC_ANY_VERSION && expect != stored) return PC_CONFLICT;
    r = put(&entries, key, 0, pc_format("%.*s", (int)len, (const char *)value));
    r->number = (int64_t)stored + 1;
    if (version) *version = stored + 1;
    return PC_OK;
}

pc_error pc_store_add(pc_store s, const char *key, int64_t by, uint32_t ttl_seconds, int64_t *sum) {
    record *r = find(entries, key, 0);
    char *end = "";
    int64_t total = by + (r ? strtoll(r->value, &end, 10) : 0);
    if (s.handle) return (pc_error)s.handle;
    if (*end) return PC_NOT_A_COUNTER;
    if (sum) *sum = total;
    const char *text = pc_format("%lld", (long long)total);
    return pc_store_put(s, key, text, strlen(text), ttl_seconds, PC_ANY_VERSION, NULL);
}

pc_error pc_store_delete(pc_store s, const char *key) {
    for (record **at = &entries; *at && !s.handle;) {
        if (strcmp((*at)->name, key) == 0)
            *at = (*at)->before;
        else
            at = &(*at)->before;
    }
    return (pc_error)s.handle;
}

void pc_store_close(pc_store s) { (void)s; }

void pc_http(const pc_request *requests, size_t number, pc_response *responses) {
    for (size_t i = 0; i < number; i++) responses[i] = pc_http_content(&requests[i], (pc_reader){0});
}

pc_response pc_http_content(const pc_request *request, pc_reader content) {
    (void)request, (void)content;
    if (!granted("http") || !http_status) return (pc_response){.error = PC_DENIED, .reason = ""};
    return (pc_response){PC_OK, "", http_status, NULL, 0, {(const uint8_t *)http_body, strlen(http_body)}};
}

pc_error pc_stream_open(const char *address, uint32_t timeout_ms, pc_stream *s) {
    (void)timeout_ms;
    record *known = find(services, address, 0);
    if (!known || !granted("streams")) return PC_DENIED;
    s->handle = 0;
    stream_said = known->value, stream_heard = "", stream_error = PC_OK;
    if (!known->value) stream_said = "", stream_error = PC_TIMED_OUT;
    return PC_OK;
}

pc_error pc_stream_write(pc_stream s, const void *octets, size_t len) {
    (void)s;
    if (len > 1 << 20) return PC_TOO_MANY;
    stream_heard = pc_format("%s%.*s", stream_heard, (int)len, (const char *)octets);
    return PC_OK;
}

pc_error pc_stream_write_content(pc_stream s, pc_reader content, uint64_t most, uint64_t *written) {
    uint64_t sum = 0;
    char piece[4096];
    while (sum < most) {
        size_t len = pc_read(content, piece, most - sum < sizeof piece ? (size_t)(most - sum) : sizeof piece);
        if (len == 0) break;
        pc_stream_write(s, piece, len);
        sum += len;
    }
    if (written) *written = sum;
    return PC_OK;
}

pc_error pc_stream_read(pc_stream s, uint32_t most, pc_bytes *octets) {
    (void)s;
    size_t len = strlen(stream_said);
    if (len > most) len = most;
    *octets = (pc_bytes){(const uint8_t *)stream_said, len};
    stream_said += len;
    return stream_error;
}

void pc_stream_close(pc_stream s) { (void)s; }

pc_error pc_verify(const char *upstream, const char *sender, const char *recipient, pc_reply *reply) {
    (void)sender;
    record *known = find(upstreams, upstream, 0);
    if (!known || !granted("upstreams")) return PC_DENIED;
    if (known->number != PC_OK) return (pc_error)known->number;
    record *said = find(verified, pc_format("%s %s", upstream, recipient), 0);
    const char *rest = said ? said->value : "250 2.1.5 ok";
    const char *text = strchr(rest, ' ') ? strchr(rest, ' ') + 1 : "";
    const char *status = NULL;
    size_t digits = strspn(text, "0123456789.");
    if (digits && text[digits] == ' ') {
        status = pc_format("%.*s", (int)digits, text);
        text += digits + 1;
    }
    *reply = (pc_reply){atoi(rest), status, text};
    return PC_OK;
}

pc_error pc_verify_all(const char *upstream, const char *sender, const char *const *recipients, size_t number, pc_reply *replies) {
    pc_error error = number > 100 ? PC_TOO_MANY : PC_OK;
    for (size_t i = 0; i < number && error == PC_OK; i++) error = pc_verify(upstream, sender, recipients[i], &replies[i]);
    return error;
}

pc_error pc_upstream(const char *upstream, pc_upstream_state *state) {
    if (!find(upstreams, upstream, 0) || !granted("upstreams")) return PC_DENIED;
    record *known = find(upstreams, upstream, 1);
    *state = known ? *(pc_upstream_state *)(intptr_t)known->number : (pc_upstream_state){.available = true};
    return PC_OK;
}

pc_error pc_authenticate_sender(const pc_session *s, const pc_transaction *t, const pc_finding **findings, size_t *number) {
    (void)s, (void)t;
    *findings = found;
    *number = granted("mail-auth") ? found_count : 0;
    return granted("mail-auth") ? PC_OK : PC_DENIED;
}

pc_error pc_authenticate_content(const pc_session *s, const pc_transaction *t, const pc_message *m, const pc_finding **findings, size_t *number) {
    (void)m;
    return pc_authenticate_sender(s, t, findings, number);
}
