// The example that is the same in all languages: it refuses mail by the recipient's domain and clients
// that a DNS list has, counts messages in a store and stamps them.
#include <portcullis.h>

#include <string.h>

static const char *const *refuse;
static size_t refuse_count;
static const char *list, *store;
static const char *header = "X-Gatekeeper";

static const char *configure(const pc_json *settings) {
    static const char *const keys[] = {"refuse", "list", "store", "header", NULL};
    const char *mistake = pc_json_only(settings, keys);
    if (!mistake) mistake = pc_json_texts(settings, "refuse", &refuse, &refuse_count);
    if (!mistake) mistake = pc_json_text(settings, "list", &list);
    if (!mistake) mistake = pc_json_text(settings, "store", &store);
    if (!mistake) mistake = pc_json_text(settings, "header", &header);
    if (!mistake && !refuse) mistake = "refuse: required: a list of the domains that get no mail";
    return mistake;
}

static bool wants(const char *hook) { return list || strcmp(hook, "connect") != 0; }

static pc_verdict connect(const pc_session *s) {
    uint8_t octets[4];
    if (!list || !pc_client_ipv4(s, octets)) return pc_next();
    const char *name = pc_reverse_name(octets, list);
    pc_answer answer = pc_lookup_one(name, PC_A);
    if (answer.kind == PC_RECORDS)
        return pc_reject(554, "5.7.1", pc_format("%s is listed by %s", pc_session_client_address(s), list));
    if (answer.kind == PC_LOOKUP_FAILED || answer.kind == PC_LOOKUP_TIMED_OUT)
        pc_log(PC_WARN, "%s: the list did not answer: %s", name, answer.reason);
    return pc_next();
}

static pc_verdict rcpt(const pc_session *s, const pc_transaction *t, const pc_recipient *r) {
    (void)s, (void)t;
    const char *domain = pc_domain(r->address);
    for (size_t i = 0; i < refuse_count; i++)
        if (pc_same(domain, refuse[i])) return pc_reject(550, "5.7.1", pc_format("no mail for %s here", domain));
    return pc_next();
}

static const char *stamp(void) {
    pc_store opened;
    int64_t n;
    if (!store || pc_store_open(store, &opened) != PC_OK) return "checked";
    if (pc_store_add(opened, "messages", 1, PC_FOR_EVER, &n) != PC_OK) return "checked";
    return pc_format("message %lld", (long long)n);
}

static pc_verdict message(const pc_session *s, const pc_transaction *t, const pc_message *m) {
    (void)s, (void)t;
    pc_count("messages", 1);
    pc_error error = pc_message_add_header(m, PC_AT_TOP, header, stamp());
    if (error) pc_fail("%s: %s", header, pc_error_text(error));
    return pc_next();
}

PC_PLUGIN = {.configure = configure, .wants = wants, .connect = connect, .rcpt = rcpt, .message = message};
