// Keeps networks out, by the first rule that fits: an address, a slash and the length of its prefix, with
// a `!` before it for those that are let in nevertheless. IPv4 and IPv6.
#include <arpa/inet.h>
#include <portcullis.h>
#include <stdlib.h>
#include <string.h>

typedef struct network {
    bool welcome;
    int family; // AF_INET or AF_INET6
    unsigned bits;
    uint8_t base[16];
} network;

static network *networks;
static size_t network_count;

// The family and octets of an address; 0 if it is none.
static int address(const char *text, uint8_t octets[16]) {
    memset(octets, 0, 16);
    if (inet_pton(AF_INET, text, octets) == 1) return AF_INET;
    if (inet_pton(AF_INET6, text, octets) == 1) return AF_INET6;
    return 0;
}

static bool holds(const network *n, int family, const uint8_t octets[16]) {
    if (family != n->family || memcmp(octets, n->base, n->bits / 8) != 0) return false;
    unsigned rest = n->bits % 8;
    return rest == 0 || (octets[n->bits / 8] ^ n->base[n->bits / 8]) >> (8 - rest) == 0;
}

static bool parse(const char *rule, network *n) {
    n->welcome = *rule == '!';
    char *text = pc_format("%s", rule + n->welcome), *slash = strchr(text, '/'), *end = NULL;
    if (slash) *slash = 0;
    n->family = address(text, n->base);
    unsigned most = n->family == AF_INET ? 32 : 128;
    unsigned long bits = slash ? strtoul(slash + 1, &end, 10) : most;
    n->bits = (unsigned)bits;
    return n->family != 0 && bits <= most && (!slash || (slash[1] >= '0' && slash[1] <= '9' && !*end));
}

static const char *configure(const pc_json *settings) {
    static const char *const keys[] = {"networks", NULL};
    const char *const *rules;
    const char *mistake = pc_json_only(settings, keys);
    if (!mistake) mistake = pc_json_texts(settings, "networks", &rules, &network_count);
    if (mistake) return mistake;
    networks = pc_alloc(network_count * sizeof *networks);
    for (size_t i = 0; i < network_count; i++)
        if (!parse(rules[i], &networks[i]))
            return pc_format("networks[%zu]: `%s` is not an address or a network", i, rules[i]);
    return NULL;
}

static pc_verdict client(const pc_session *s) {
    uint8_t octets[16];
    // Who is at a Unix socket has no address, and is in no network.
    int family = address(pc_session_client_address(s), octets);
    for (size_t i = 0; i < network_count; i++)
        if (holds(&networks[i], family, octets))
            return networks[i].welcome ? pc_next() : pc_reject(554, "5.7.1", "client address not welcome here");
    return pc_next();
}

PC_PLUGIN = {.configure = configure, .connect = client};
