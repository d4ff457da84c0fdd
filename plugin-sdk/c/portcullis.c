// What is the same in wasm and in tests: memory, texts, settings.
#include "portcullis.h"
#include "portcullis_inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Memory

typedef struct chunk {
    struct chunk *before;
    size_t used, size;
    _Alignas(16) char octets[];
} chunk;

enum { CHUNK = 16 << 10, ALIGN = 8 };

static chunk *newest, *kept;
static size_t kept_used;

void *pc_alloc(size_t size) {
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (!newest || newest->size - newest->used < size) {
        size_t room = size > CHUNK ? size : CHUNK;
        chunk *more = malloc(sizeof(chunk) + room);
        if (!more) pc_fail("out of memory: %zu octets are wanted", size);
        *more = (chunk){newest, 0, room};
        newest = more;
    }
    void *memory = newest->octets + newest->used;
    newest->used += size;
    return memory;
}

void pc_memory_keep(void) {
    kept = newest;
    kept_used = newest ? newest->used : 0;
}

void pc_memory_reset(void) {
    while (newest != kept) {
        chunk *before = newest->before;
        // The first one stays: the next hook needs memory, too.
        if (before == kept && newest->size == CHUNK) {
            newest->used = 0;
            return;
        }
        free(newest);
        newest = before;
    }
    if (newest) newest->used = kept_used;
}

// Texts

static char *format(const char *format, va_list values) {
    va_list again;
    va_copy(again, values);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = pc_alloc((size_t)(length < 0 ? 0 : length) + 1);
    text[0] = 0;
    if (length > 0) vsnprintf(text, (size_t)length + 1, format, values);
    return text;
}

char *pc_format(const char *form, ...) {
    va_list values;
    va_start(values, form);
    char *text = format(form, values);
    va_end(values);
    return text;
}

void pc_log(pc_level level, const char *form, ...) {
    if (!pc_log_enabled(level)) return;
    va_list values;
    va_start(values, form);
    const char *none[] = {NULL};
    pc_log_fields(level, format(form, values), none);
    va_end(values);
}

void pc_fail(const char *form, ...) {
    va_list values;
    va_start(values, form);
    const char *none[] = {NULL};
    pc_log_fields(PC_ERROR, format(form, values), none);
    pc_stop();
}

pc_answer pc_lookup_one(const char *name, pc_kind kind) {
    pc_query query = {name, kind};
    pc_answer answer = {0};
    pc_error error = pc_lookup(&query, 1, &answer);
    if (error != PC_OK) {
        answer.kind = PC_LOOKUP_FAILED;
        answer.reason = pc_error_text(error);
    }
    return answer;
}

pc_error pc_store_get(pc_store s, const char *key, pc_entry *entry) { return pc_store_get_all(s, &key, 1, entry); }

static char small(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

char *pc_lower(const char *text) {
    size_t len = strlen(text);
    char *lower = pc_alloc(len + 1);
    for (size_t i = 0; i <= len; i++) lower[i] = small(text[i]);
    return lower;
}

bool pc_same(const char *a, const char *b) {
    while (*a && small(*a) == small(*b)) a++, b++;
    return small(*a) == small(*b);
}

const char *pc_domain(const char *address) {
    const char *at = strrchr(address, '@');
    return at ? pc_lower(at + 1) : "";
}

const char *pc_local_part(const char *address) {
    const char *at = strrchr(address, '@');
    return at ? pc_format("%.*s", (int)(at - address), address) : address;
}

bool pc_client_ipv4(const pc_session *s, uint8_t octets[4]) {
    const char *rest = pc_session_client_address(s);
    for (int i = 0; i < 4; i++) {
        char *end;
        if (*rest < '0' || *rest > '9') return false;
        unsigned long octet = strtoul(rest, &end, 10);
        if (octet > 255 || end - rest > 3 || *end != (i < 3 ? '.' : 0)) return false;
        octets[i] = (uint8_t)octet;
        rest = end + 1;
    }
    return true;
}

const char *pc_reverse_name(const uint8_t octets[4], const char *zone) {
    return pc_format("%d.%d.%d.%d.%s", octets[3], octets[2], octets[1], octets[0], zone);
}

const char *pc_error_text(pc_error error) {
    static const char *const texts[] = {
        "well done", "denied: no grant for this in the configuration", "too early or too late in the transaction",
        "out of range", "malformed", "too many", "too early", "too large", "another version is stored",
        "not a counter", "timed out", "unavailable",
    };
    return texts[error];
}

// Settings

typedef struct input {
    const char *at;
    int depth;
} input;

static void space(input *in) {
    while (*in->at == ' ' || *in->at == '\t' || *in->at == '\n' || *in->at == '\r') in->at++;
}

static bool skip(input *in, const char *word) {
    size_t len = strlen(word);
    if (strncmp(in->at, word, len) != 0) return false;
    in->at += len;
    return true;
}

static bool hex(input *in, unsigned *unit) {
    *unit = 0;
    for (int i = 0; i < 4; i++, in->at++) {
        char c = small(*in->at);
        if ((c < '0' || c > '9') && (c < 'a' || c > 'f')) return false;
        *unit = *unit * 16 + (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return true;
}

static char *encode(char *to, unsigned code) {
    if (code < 0x80) {
        *to++ = (char)code;
        return to;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned lead[] = {0, 0xc0, 0xe0, 0xf0};
    *to++ = (char)(lead[more] | code >> (6 * more));
    while (more--) *to++ = (char)(0x80 | (code >> (6 * more) & 0x3f));
    return to;
}

static bool escape(input *in, char **to) {
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    char c = *in->at++;
    const char *found = c ? strchr(from, c) : NULL;
    if (found) {
        *(*to)++ = into[found - from];
        return true;
    }
    unsigned unit, second;
    if (c != 'u' || !hex(in, &unit) || unit == 0) return false;
    if (unit >= 0xd800 && unit < 0xdc00) {
        if (!skip(in, "\\u") || !hex(in, &second) || second < 0xdc00 || second > 0xdfff) return false;
        unit = 0x10000 + ((unit - 0xd800) << 10) + (second - 0xdc00);
    } else if (unit >= 0xdc00 && unit < 0xe000) {
        return false;
    }
    *to = encode(*to, unit);
    return true;
}

static const char *text(input *in) {
    if (!skip(in, "\"")) return NULL;
    // Unescaped it is not longer than escaped.
    size_t most = 0;
    for (; in->at[most] && in->at[most] != '"'; most++)
        if (in->at[most] == '\\' && in->at[most + 1]) most++;
    char *start = pc_alloc(most + 1), *to = start;
    while (*in->at != '"') {
        if ((unsigned char)*in->at < ' ') return NULL;
        if (*in->at != '\\') {
            *to++ = *in->at++;
        } else if (in->at++, !escape(in, &to)) {
            return NULL;
        }
    }
    in->at++;
    *to = 0;
    return start;
}

static bool value(input *in, pc_json *into);

static bool items(input *in, pc_json *into, char end) {
    pc_json *all = NULL;
    size_t room = 0;
    space(in);
    while (*in->at != end) {
        if (into->count && !skip(in, ",")) return false;
        if (into->count == room) {
            pc_json *more = pc_alloc((room = room ? 2 * room : 8) * sizeof *more);
            if (into->count) memcpy(more, all, into->count * sizeof *more);
            all = more;
        }
        pc_json *item = &all[into->count++];
        const char *key = NULL;
        space(in);
        if (end == '}' && (!(key = text(in)) || (space(in), !skip(in, ":")))) return false;
        if (!value(in, item)) return false;
        item->key = key;
        space(in);
    }
    in->at++;
    into->items = all;
    return true;
}

static bool value(input *in, pc_json *into) {
    enum { DEPTH = 64 };
    *into = (pc_json){0};
    space(in);
    char c = *in->at;
    bool well;
    if (c == '{' || c == '[') {
        in->at++;
        into->kind = c == '{' ? PC_JSON_SECTION : PC_JSON_LIST;
        well = ++in->depth <= DEPTH && items(in, into, c == '{' ? '}' : ']');
        in->depth--;
    } else if (c == '"') {
        into->kind = PC_JSON_TEXT;
        well = (into->text = text(in));
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        char *end;
        into->kind = PC_JSON_NUMBER;
        into->number = strtod(in->at, &end);
        well = end != in->at;
        in->at = end;
    } else if (skip(in, "true") || skip(in, "false")) {
        into->kind = PC_JSON_BOOL;
        into->truth = c == 't';
        well = true;
    } else {
        well = skip(in, "null");
    }
    return well;
}

const pc_json *pc_json_read(const char *settings) {
    input in = {settings, 0};
    pc_json *json = pc_alloc(sizeof *json);
    if (!value(&in, json)) return NULL;
    space(&in);
    return *in.at ? NULL : json;
}

const pc_json *pc_json_get(const pc_json *section, const char *key) {
    for (size_t i = 0; section->kind == PC_JSON_SECTION && i < section->count; i++)
        if (strcmp(section->items[i].key, key) == 0) return &section->items[i];
    return NULL;
}

const char *pc_json_only(const pc_json *section, const char *const *keys) {
    if (section->kind != PC_JSON_SECTION && section->kind != PC_JSON_NULL) return "settings: expected a section";
    for (size_t i = 0; i < section->count; i++) {
        const char *const *known = keys;
        while (*known && strcmp(*known, section->items[i].key) != 0) known++;
        if (!*known) return pc_format("%s: unknown key", section->items[i].key);
    }
    return NULL;
}

// The value under a key, if it is there and of this kind.
static const char *expect(const pc_json *section, const char *key, pc_json_kind kind, const pc_json **found) {
    static const char *const words[] = {"nothing", "true or false", "a number", "a text", "a list", "a section"};
    *found = pc_json_get(section, key);
    if (*found && (*found)->kind != kind) return pc_format("%s: expected %s", key, words[kind]);
    return NULL;
}

const char *pc_json_text(const pc_json *section, const char *key, const char **text) {
    const pc_json *found;
    const char *mistake = expect(section, key, PC_JSON_TEXT, &found);
    if (!mistake && found) *text = found->text;
    return mistake;
}

const char *pc_json_number(const pc_json *section, const char *key, double *number) {
    const pc_json *found;
    const char *mistake = expect(section, key, PC_JSON_NUMBER, &found);
    if (!mistake && found) *number = found->number;
    return mistake;
}

const char *pc_json_whole(const pc_json *section, const char *key, int64_t *number) {
    const pc_json *found;
    const char *mistake = expect(section, key, PC_JSON_NUMBER, &found);
    if (mistake || !found) return mistake;
    const double most = 9007199254740992.0; // up to here every whole number has a double
    if (found->number > most || found->number < -most || (double)(int64_t)found->number != found->number)
        return pc_format("%s: expected a whole number", key);
    *number = (int64_t)found->number;
    return NULL;
}

const char *pc_json_bool(const pc_json *section, const char *key, bool *truth) {
    const pc_json *found;
    const char *mistake = expect(section, key, PC_JSON_BOOL, &found);
    if (!mistake && found) *truth = found->truth;
    return mistake;
}

const char *pc_json_texts(const pc_json *section, const char *key, const char *const **texts, size_t *count) {
    const pc_json *found;
    const char *mistake = expect(section, key, PC_JSON_LIST, &found);
    if (mistake || !found) return mistake;
    const char **all = pc_alloc((found->count + 1) * sizeof *all);
    for (size_t i = 0; i < found->count; i++) {
        if (found->items[i].kind != PC_JSON_TEXT) return pc_format("%s[%zu]: expected a text", key, i);
        all[i] = found->items[i].text;
    }
    all[found->count] = NULL;
    *texts = all;
    *count = found->count;
    return NULL;
}

// The plugin

const char *pc_configure(const char *settings) {
    static const pc_json nothing = {.kind = PC_JSON_SECTION};
    const pc_json *json = pc_json_read(settings);
    if (!json) return "settings: no JSON";
    if (json->kind == PC_JSON_NULL) json = &nothing;
    return pc_the_plugin.configure ? pc_the_plugin.configure(json) : NULL;
}

// The hooks that are not to be called; the number of them.
size_t pc_skipped(const char *names[PC_HOOKS]) {
    const pc_plugin *p = &pc_the_plugin;
    const struct {
        const char *name;
        bool there;
    } hooks[PC_HOOKS] = {
        {"connect", p->connect}, {"helo", p->helo},       {"auth", p->auth},
        {"mail", p->mail},       {"rcpt", p->rcpt},       {"data", p->data},
        {"headers", p->headers}, {"message", p->message}, {"outcome", p->outcome},
    };
    size_t count = 0;
    for (size_t i = 0; i < PC_HOOKS; i++)
        if (!hooks[i].there || (p->wants && !p->wants(hooks[i].name))) names[count++] = hooks[i].name;
    return count;
}
