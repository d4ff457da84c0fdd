// What gateway/benches/cost.rs measures: the same as ../rust.
#include <portcullis.h>

#include <string.h>

static bool look = true, scan;

static const char *configure(const pc_json *settings) {
    static const char *const keys[] = {"look", "scan", NULL};
    const char *mistake = pc_json_only(settings, keys);
    if (!mistake) mistake = pc_json_bool(settings, "look", &look);
    if (!mistake) mistake = pc_json_bool(settings, "scan", &scan);
    return mistake;
}

static bool wants(const char *hook) { return look || strcmp(hook, "headers") != 0; }

static pc_verdict rcpt(const pc_session *s, const pc_transaction *t, const pc_recipient *r) {
    (void)s, (void)t, (void)r;
    return pc_next();
}

static pc_verdict headers(const pc_session *s, const pc_transaction *t, const pc_message *m) {
    (void)s, (void)t;
    const char *subject = pc_message_header(m, "Subject");
    if (subject && strstr(subject, "cheap watches")) return pc_reject(550, "5.7.1", "no watches");
    return pc_next();
}

static size_t exclamations(pc_reader body) {
    static char buffer[64 << 10];
    size_t count = 0, length;
    while ((length = pc_read(body, buffer, sizeof buffer)))
        for (size_t i = 0; i < length; i++) count += buffer[i] == '!';
    pc_reader_close(body);
    return count;
}

static pc_verdict message(const pc_session *s, const pc_transaction *t, const pc_message *m) {
    (void)s, (void)t;
    if (scan && exclamations(pc_message_read_body(m)) > 1000) return pc_reject(550, "5.7.1", "no shouting");
    return pc_next();
}

PC_PLUGIN = {.configure = configure, .wants = wants, .rcpt = rcpt, .headers = headers, .message = message};
