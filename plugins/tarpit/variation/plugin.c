// Slows down who guesses addresses: each recipient that does not exist makes the next answers later.
#include <portcullis.h>

static int64_t each = 2, most = 20, allowed = 2;

static const char *whole(const pc_json *settings, const char *key, int least, int64_t *number) {
    const char *mistake = pc_json_whole(settings, key, number);
    if (mistake) return mistake;
    return *number < least || *number > 60 ? pc_format("%s: %d to 60", key, least) : NULL;
}

static const char *configure(const pc_json *settings) {
    static const char *const keys[] = {"each", "most", "allowed", NULL};
    const char *mistake = pc_json_only(settings, keys);
    if (!mistake) mistake = whole(settings, "each", 1, &each);
    if (!mistake) mistake = whole(settings, "most", 1, &most);
    if (!mistake) mistake = whole(settings, "allowed", 0, &allowed);
    return mistake;
}

static pc_verdict rcpt(const pc_session *s, const pc_transaction *t, const pc_recipient *r) {
    (void)t, (void)r;
    int64_t refused = pc_session_conduct(s, "refused-recipients");
    if (refused <= allowed || pc_session_user(s)) return pc_next();
    int64_t seconds = (refused - allowed) * each;
    if (seconds > most) seconds = most;
    // Nothing waits here: the gateway's timer does.
    if (pc_session_delay(s, (uint32_t)seconds * 1000)) pc_fail("the delay was not taken");
    return pc_next();
}

PC_PLUGIN = {.configure = configure, .rcpt = rcpt};
