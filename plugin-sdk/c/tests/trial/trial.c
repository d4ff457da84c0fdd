// Reaches for all that a plugin can, and tells in a header what it got. The one in Go tells the same.
// It fails for some recipients.
#include <portcullis.h>

#include <stdlib.h>
#include <string.h>

static const char *truth(bool yes) { return yes ? "true" : "false"; }

static pc_verdict connect(const pc_session *s) {
    if (pc_session_save(s, "saved", 6) || pc_session_set_note(s, "key", "noted")) pc_fail("nothing was saved");
    return pc_next();
}

static pc_verdict helo(const pc_session *s, const char *name) {
    (void)s;
    return strcmp(name, "bad.example") == 0 ? pc_reject(550, "5.7.1", "not you") : pc_next();
}

static pc_authentication auth(const pc_session *s, const pc_credentials *c) {
    (void)s;
    if (strcmp(c->user, "bob") == 0) return (pc_authentication){PC_CANNOT_TELL, NULL, {454, "4.7.0", "ask later"}};
    if (strcmp(c->mechanism, "PLAIN") != 0 || c->authorization || !c->secret) return (pc_authentication){PC_NOT_MINE, NULL, {0}};
    if (strcmp(c->secret, "open sesame") == 0) return (pc_authentication){PC_AUTHENTICATED, pc_format("%s@example", c->user), {0}};
    return (pc_authentication){PC_REFUSED, NULL, {535, "5.7.8", "not ann"}};
}

static bool sent_by(const pc_transaction *t, const char *who) {
    const char *sender = pc_transaction_sender(t);
    return sender && strcmp(pc_local_part(sender), who) == 0;
}

static pc_verdict mail(const pc_session *s, const pc_transaction *t) {
    (void)s;
    if (sent_by(t, "defer")) return pc_defer(450, "4.7.1", "later");
    if (sent_by(t, "disconnect")) return pc_disconnect(421, NULL, "go away");
    return sent_by(t, "accept") ? pc_accept() : pc_next();
}

static pc_verdict data(const pc_session *s, const pc_transaction *t) {
    (void)s;
    return sent_by(t, "discard") ? pc_discard("not wanted") : pc_next();
}

static pc_verdict headers(const pc_session *s, const pc_transaction *t, const pc_message *m) {
    (void)s;
    return sent_by(t, "headers") && pc_message_header(m, "Subject") ? pc_reject(550, NULL, "two\nlines") : pc_next();
}

static volatile int zero;

__attribute__((noinline)) static int divide(int by) { return 7 / by; }

static pc_verdict rcpt(const pc_session *s, const pc_transaction *t, const pc_recipient *r) {
    (void)s, (void)t;
    const char *fail = pc_local_part(r->address);
    if (strcmp(fail, "trap") == 0) zero = divide(zero);
    if (strcmp(fail, "error") == 0) pc_fail("no luck");
    if (strcmp(fail, "status") == 0) return pc_reject(550, "5.7", "half a status");
    while (strcmp(fail, "memory") == 0) memset(pc_alloc(1 << 20), 1, 1 << 20);
    while (strcmp(fail, "loop") == 0) zero++;
    if (strcmp(fail, "exit") == 0) abort();
    return pc_next();
}

// As Go writes it.
static const char *quoted(const void *octets, size_t len) {
    const char *text = "\"";
    for (size_t i = 0; i < len; i++) {
        unsigned char c = ((const unsigned char *)octets)[i];
        const char *form = c == '\r' ? "%s\\r" : c == '\n' ? "%s\\n" : c >= ' ' && c < 127 ? "%s%c" : "%s\\x%02x";
        text = pc_format(form, text, c);
    }
    return pc_format("%s\"", text);
}

static const char *session(const pc_session *s) {
    pc_tls tls;
    pc_forwarded forwarded;
    pc_bytes state = {0};
    pc_session_load(s, &state);
    const char *note = pc_session_note(s, "trial.key");
    return pc_format("%s %s %s %s tls=%s proxy=%s %s %s %s %s", pc_session_listener(s), pc_session_client_address(s), pc_session_helo(s),
                     truth(pc_session_esmtp(s)), truth(pc_session_tls(s, &tls)), truth(pc_session_forwarded(s, &forwarded)),
                     quoted(state.ptr, state.len), note ? note : "", truth(note),
                     truth(*pc_session_id(s) && pc_session_client_port(s) && !pc_session_user(s)));
}

static const char *envelope(const pc_transaction *t) {
    const char *sender = pc_transaction_sender(t);
    const char *told = pc_format("<%s>", sender ? sender : "");
    size_t count;
    const pc_parameter *parameters = pc_transaction_parameters(t, &count);
    for (size_t i = 0; i < count; i++)
        told = pc_format("%s %s=%s", told, parameters[i].keyword, parameters[i].value ? parameters[i].value : "");
    const pc_recipient *recipients = pc_transaction_recipients(t, &count);
    for (size_t i = 0; i < count; i++)
        told = pc_format("%s %u<%s>%zu", told, (unsigned)recipients[i].index, recipients[i].address, recipients[i].parameter_count);
    pc_transaction_score(t, "TRIAL", 1.5);
    pc_transaction_score(t, "OTHER", -0.5);
    const pc_score *scores = pc_transaction_scores(t, &count);
    for (size_t i = 0; i < count; i++) told = pc_format("%s %s=%g", told, scores[i].symbol, scores[i].points);
    return pc_format("%s %s", told, truth(pc_transaction_route(t, "nowhere") == PC_DENIED));
}

static size_t read_all(pc_reader r, uint8_t *into, size_t most) {
    size_t size = 0, read;
    while ((read = pc_read(r, into + size, most - size < 4097 ? most - size : 4097))) size += read;
    return size;
}

static const char *content(const pc_message *m) {
    enum { MOST = 1 << 20 };
    uint8_t *all = malloc(MOST), *again = malloc(MOST), digest[32], rest_digest[32];
    pc_reader body = pc_message_read_body(m);
    uint64_t offset = 0;
    bool found = pc_find(body, "needle", 6, 1 << 20, &offset);
    pc_sha256(body, digest);
    size_t size = read_all(body, all, MOST);
    pc_reader_close(body);
    pc_reader whole = pc_message_read_all(m);
    uint64_t skipped = pc_skip(whole, pc_message_header_section(m).len + 2);
    pc_sha256(whole, rest_digest);
    bool same = read_all(whole, again, MOST) == size && memcmp(all, again, size) == 0;
    free(all);
    free(again);
    return pc_format("%s %zu %s %u %u %s %s", pc_message_header(m, "subject"), size, truth(found), (unsigned)offset,
                     (unsigned)(pc_message_size(m) - skipped), truth(memcmp(digest, rest_digest, 32) == 0), truth(same));
}

static const char *parts(const pc_message *m) {
    const char *told = "";
    size_t count;
    const pc_part *all = pc_message_parts(m, &count);
    for (size_t i = 0; i < count; i++) {
        const char *text = "none", *name = all[i].file_name, *disposition = all[i].disposition;
        char start[8];
        pc_reader r;
        if (pc_message_read_part(m, all[i].index, &r)) text = quoted(start, pc_read(r, start, sizeof start));
        told = pc_format("%s%s%u %s %s %s %s %s", told, i ? ", " : "", (unsigned)all[i].index, all[i].content_type, name ? name : "",
                         disposition ? disposition : "", truth(all[i].has_extent), text);
    }
    return told;
}

static const char *stored(void) {
    pc_store store, other;
    pc_error error = pc_store_open("counts", &store);
    if (error) return pc_error_text(error);
    int64_t sum = 0;
    pc_store_add(store, "sum", 5, 60, &sum);
    pc_store_add(store, "sum", -2, PC_FOR_EVER, &sum);
    uint64_t version = 0;
    pc_store_put(store, "key", "a\0b", 3, PC_FOR_EVER, PC_IF_ABSENT, &version);
    pc_error conflict = pc_store_put(store, "key", "", 0, PC_FOR_EVER, version + 1, NULL);
    pc_error number = pc_store_add(store, "key", 1, PC_FOR_EVER, NULL);
    const char *const keys[] = {"key", "nothing", "sum"};
    pc_entry entries[3] = {0}, gone = {.found = true};
    pc_store_get_all(store, keys, 3, entries);
    pc_store_delete(store, "key");
    pc_store_delete(store, "sum");
    pc_store_get(store, "key", &gone);
    pc_store_close(store);
    return pc_format("%d %s %s %s %s %s %s %s", (int)sum, truth(conflict == PC_CONFLICT), truth(number == PC_NOT_A_COUNTER),
                     quoted(entries[0].value.ptr, entries[0].value.len), truth(!entries[1].found), (const char *)entries[2].value.ptr,
                     truth(!gone.found), truth(pc_store_open("other", &other) == PC_DENIED));
}

static const char *asked(const pc_session *s, const pc_transaction *t, const pc_message *m) {
    pc_query queries[] = {{"mx.example", PC_MX}, {"no.example", PC_A}};
    pc_answer answers[2];
    pc_error error = pc_lookup(queries, 2, answers);
    if (error) return pc_error_text(error);
    pc_header header = {"a", {(const uint8_t *)"b", 1}};
    pc_request get = {.method = "GET", .url = "https://denied.example/", .headers = &header, .header_count = 1};
    pc_request put = {.method = "PUT", .url = "https://denied.example/"};
    pc_response response;
    pc_http(&get, 1, &response);
    pc_error streamed = pc_http_content(&put, pc_message_read_body(m)).error;
    const pc_finding *findings;
    size_t count;
    pc_error sender = pc_authenticate_sender(s, t, &findings, &count);
    pc_error content = pc_authenticate_content(s, t, m, &findings, &count);
    const char *records = "";
    for (size_t i = 0; i < answers[0].count; i++) records = pc_format("%s%s%s", records, i ? " " : "", answers[0].records[i]);
    return pc_format("[%s] %s %s %s %s %s", records, truth(answers[1].kind == PC_NO_SUCH_NAME), truth(response.error == PC_DENIED),
                     truth(streamed == PC_DENIED), truth(sender == PC_DENIED), truth(content == PC_DENIED));
}

static const char *other(void) {
    pc_count_label("seen", 2, "kind", "trial");
    pc_observe("size", 0.5);
    pc_log(PC_DEBUG, "not to be seen");
    const char *const fields[] = {"a", "1", "g.b", "", NULL};
    pc_log_fields(PC_INFO, "", fields);
    uint8_t a[32] = {0}, b[32] = {0};
    pc_random(a, sizeof a);
    pc_random(b, sizeof b);
    return pc_format("%zu %s %s", sizeof a, truth(memcmp(a, b, sizeof a) != 0), truth(pc_now() > 1700000000000 && pc_monotonic()));
}

static void rewrite(const pc_message *m) {
    pc_writer w;
    pc_reader body = pc_message_read_body(m);
    uint64_t copied;
    pc_error error = pc_message_replace_body(m, &w);
    if (!error) error = pc_write(w, "rewritten\n", 10);
    if (!error) error = pc_write_copy(w, body, 8, &copied);
    char chunk[1000];
    size_t size;
    while (!error && (size = pc_read(body, chunk, sizeof chunk))) error = pc_write(w, chunk, size);
    if (!error) error = pc_write_finish(w);
    if (error) pc_fail("rewrite: %s", pc_error_text(error));
}

static pc_verdict message(const pc_session *s, const pc_transaction *t, const pc_message *m) {
    const char *told = pc_format("%s; %s; %s; %s; %s; %s; %s", session(s), envelope(t), content(m), parts(m), stored(), asked(s, t, m), other());
    rewrite(m);
    pc_error error = pc_message_add_header(m, PC_AT_END, "X-Trial", told);
    if (error) pc_fail("X-Trial: %s", pc_error_text(error));
    return pc_next();
}

static void outcome(const pc_outcome *events, size_t count) {
    for (const pc_outcome *e = events; e < events + count; e++)
        pc_log(PC_INFO, "told %s %s %d <%s> <%s> %s", e->stage, e->client_address, e->code, e->sender ? e->sender : "",
               e->recipient ? e->recipient : "", truth(e->time > 1700000000000));
}

PC_PLUGIN = {
    .connect = connect,
    .helo = helo,
    .auth = auth,
    .mail = mail,
    .rcpt = rcpt,
    .data = data,
    .headers = headers,
    .message = message,
    .outcome = outcome,
};
