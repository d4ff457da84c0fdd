// Sends a percentage of all recipients to a new store, always the same ones. Postmasters stay where they are
// until the end.
#include <portcullis.h>

static const char *upstream;
static int64_t percent;

static const char *configure(const pc_json *settings) {
    static const char *const keys[] = {"upstream", "percent", NULL};
    const char *mistake = pc_json_only(settings, keys);
    if (!mistake) mistake = pc_json_text(settings, "upstream", &upstream);
    if (!mistake) mistake = pc_json_whole(settings, "percent", &percent);
    if (!mistake && (percent < 0 || percent > 100)) mistake = "percent: not from 0 to 100";
    return mistake;
}

// FNV-1a over the address in small letters: the same on every machine.
static uint32_t hash(const char *address) {
    uint32_t sum = 2166136261u;
    for (; *address; address++) {
        unsigned char c = (unsigned char)*address;
        if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
        sum = (sum ^ c) * 16777619u;
    }
    return sum ^ sum >> 15;
}

static pc_verdict rcpt(const pc_session *s, const pc_transaction *t, const pc_recipient *r) {
    (void)s;
    bool chosen = hash(r->address) % 100 < (uint32_t)percent;
    if (pc_same(pc_local_part(r->address), "postmaster")) chosen = percent == 100;
    if (chosen && pc_transaction_route_recipient(t, r->index, upstream) != PC_OK)
        return pc_defer(451, "4.3.5", "mail cannot be routed now");
    return pc_next();
}

PC_PLUGIN = {.configure = configure, .rcpt = rcpt};
