// Refuses mail for domains that take none.
#include <portcullis.h>

static const char *const *domains;
static size_t domain_count;

static const char *configure(const pc_json *settings) {
    static const char *const keys[] = {"domains", NULL};
    const char *mistake = pc_json_only(settings, keys);
    return mistake ? mistake : pc_json_texts(settings, "domains", &domains, &domain_count);
}

static pc_verdict rcpt(const pc_session *s, const pc_transaction *t, const pc_recipient *r) {
    (void)s, (void)t;
    for (size_t i = 0; i < domain_count; i++)
        if (pc_same(pc_domain(r->address), domains[i])) return pc_reject(550, "5.7.1", "closed for good");
    return pc_next();
}

PC_PLUGIN = {.configure = configure, .rcpt = rcpt};
