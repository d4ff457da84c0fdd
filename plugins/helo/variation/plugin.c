// Refuses who says hello by a name of ours, and gives points for names that no mail server has.
#include <portcullis.h>

#include <string.h>

static const char *const *own;
static size_t own_count;
static double no_dot = 1, early = 3;

static const char *configure(const pc_json *settings) {
    static const char *const keys[] = {"own", "no_dot", "early_talker", NULL};
    const char *mistake = pc_json_only(settings, keys);
    if (!mistake) mistake = pc_json_texts(settings, "own", &own, &own_count);
    if (!mistake) mistake = pc_json_number(settings, "no_dot", &no_dot);
    if (!mistake) mistake = pc_json_number(settings, "early_talker", &early);
    return mistake;
}

static void score(const pc_transaction *t, const char *symbol, double points) {
    if (pc_transaction_score(t, symbol, points)) pc_fail("the score was not taken");
}

// Not at HELO: by MAIL it is known who has logged in, and there is something to score.
static pc_verdict mail(const pc_session *s, const pc_transaction *t) {
    const char *name = pc_session_helo(s);
    if (pc_session_user(s) || !name) return pc_next();
    for (size_t i = 0; i < own_count; i++)
        if (pc_same(name, own[i])) return pc_reject(550, "5.7.1", "that is my name, not yours");
    if (pc_session_conduct(s, "early-talker")) score(t, "EARLY_TALKER", early);
    // [192.0.2.1] is an address, and in order.
    if (name[0] != '[' && !strchr(name, '.')) score(t, "HELO_NO_DOT", no_dot);
    return pc_next();
}

PC_PLUGIN = {.configure = configure, .mail = mail};
