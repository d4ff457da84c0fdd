// In wasm: the hooks that the gateway calls, and what plugins ask of the gateway.
#include "portcullis_inside.h"

#include <stdlib.h>
#include <string.h>

#include "wit/plugin.h"

// What follows with this takes the place of a weak function of wit/plugin.c.
#define INSTEAD(name) __attribute__((export_name(name)))

// Where the next octets go that the gateway hands over, if not to memory of our own.
static void *target;
static size_t target_size;

// Nothing is freed one by one.
INSTEAD("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
    if (target && align == 1 && size <= target_size) return target;
    if (size == 0) return (void *)align;
    // Room for a NUL: so that texts end in one.
    char *memory = pc_alloc(size + 1);
    memory[size] = 0;
    if (old_size) memcpy(memory, old, old_size < size ? old_size : size);
    return memory;
}

// From C and to C

static plugin_string_t give(const char *text) {
    return (plugin_string_t){(uint8_t *)text, strlen(text)};
}

static plugin_list_u8_t give_bytes(const void *ptr, size_t len) {
    return (plugin_list_u8_t){(uint8_t *)ptr, len};
}

static const char *take(plugin_string_t text) { return text.len ? (const char *)text.ptr : ""; }

static const char *take_option(plugin_option_string_t text) { return text.is_some ? take(text.val) : NULL; }

static pc_bytes take_bytes(plugin_list_u8_t octets) {
    return (pc_bytes){octets.len ? octets.ptr : (const uint8_t *)"", octets.len};
}

static pc_error edited(bool well, smtp_filter_types_edit_error_t error) {
    static const pc_error errors[] = {PC_DENIED, PC_TOO_LATE, PC_OUT_OF_RANGE, PC_MALFORMED};
    return well ? PC_OK : errors[error];
}

static smtp_filter_types_reply_t give_reply(pc_reply reply) {
    smtp_filter_types_reply_t given = {.code = (uint16_t)reply.code, .text = give(reply.text ? reply.text : "")};
    if (reply.code < 0 || reply.code > 999) pc_fail("%d is not the code of a reply", reply.code);
    if (reply.status) {
        char *second, *third, *end;
        unsigned long class = strtoul(reply.status, &second, 10);
        unsigned long subject = *second == '.' ? strtoul(second + 1, &third, 10) : (third = second, 1000);
        unsigned long detail = *third == '.' ? strtoul(third + 1, &end, 10) : (end = third, 1000);
        if (*end || class > 9 || subject > 999 || detail > 999)
            pc_fail("\"%s\" is not an enhanced status such as \"5.7.1\"", reply.status);
        given.status.is_some = true;
        given.status.val = (plugin_tuple3_u8_u16_u16_t){(uint8_t)class, (uint16_t)subject, (uint16_t)detail};
    }
    return given;
}

// Hooks

struct pc_session {
    smtp_filter_types_borrow_session_t handle;
};
struct pc_transaction {
    smtp_filter_types_borrow_transaction_t handle;
};
struct pc_message {
    smtp_filter_types_borrow_message_t handle;
};

bool exports_smtp_filter_lifecycle_configure(plugin_string_t *settings, exports_smtp_filter_lifecycle_subscription_t *subscription, plugin_string_t *mistake) {
    const char *text = pc_configure(take(*settings));
    if (text) {
        *mistake = give(text);
        return false;
    }
    const char *names[PC_HOOKS];
    subscription->skip.len = pc_skipped(names);
    subscription->skip.ptr = pc_alloc(PC_HOOKS * sizeof(plugin_string_t));
    for (size_t i = 0; i < subscription->skip.len; i++) subscription->skip.ptr[i] = give(names[i]);
    pc_memory_keep();
    return true;
}

static void answer(pc_verdict verdict, smtp_filter_types_verdict_t *given) {
    *given = (smtp_filter_types_verdict_t){.tag = (uint8_t)verdict.decision};
    switch (verdict.decision) {
    case PC_NEXT:
    case PC_ACCEPT: break;
    case PC_REJECT:
    case PC_DEFER:
    case PC_DISCONNECT: given->val.reject = give_reply(verdict.reply); break;
    case PC_DISCARD:
    case PC_QUARANTINE: given->val.discard = give(verdict.reply.text ? verdict.reply.text : ""); break;
    }
}

// The end of a hook is when its answer has been read.
#define POST(name) \
    INSTEAD("cabi_post_smtp:filter/on-" #name "@0.1.0#handle") \
    void __wasm_export_exports_smtp_filter_on_##name##_handle_post_return(uint8_t *given) { \
        (void)given; \
        pc_memory_reset(); \
    }
POST(connect)
POST(helo)
POST(auth)
POST(mail)
POST(rcpt)
POST(data)
POST(headers)
POST(message)

INSTEAD("cabi_post_smtp:filter/lifecycle@0.1.0#configure")
void __wasm_export_exports_smtp_filter_lifecycle_configure_post_return(uint8_t *given) { (void)given; }

void exports_smtp_filter_on_connect_handle(exports_smtp_filter_on_connect_borrow_session_t s, smtp_filter_types_verdict_t *given) {
    answer(pc_the_plugin.connect(&(pc_session){s}), given);
}

void exports_smtp_filter_on_helo_handle(exports_smtp_filter_on_helo_borrow_session_t s, plugin_string_t *name, smtp_filter_types_verdict_t *given) {
    answer(pc_the_plugin.helo(&(pc_session){s}, take(*name)), given);
}

void exports_smtp_filter_on_auth_handle(exports_smtp_filter_on_auth_borrow_session_t s, exports_smtp_filter_on_auth_credentials_t *c, exports_smtp_filter_on_auth_answer_t *given) {
    pc_credentials credentials = {take(c->mechanism), take(c->user), take_option(c->authorization), take_option(c->secret)};
    pc_authentication said = pc_the_plugin.auth(&(pc_session){s}, &credentials);
    *given = (exports_smtp_filter_on_auth_answer_t){.tag = (uint8_t)said.answer};
    if (said.answer == PC_AUTHENTICATED)
        given->val.authenticated = give(said.identity ? said.identity : "");
    else if (said.answer != PC_NOT_MINE)
        given->val.refused = give_reply(said.reply);
}

void exports_smtp_filter_on_mail_handle(exports_smtp_filter_on_mail_borrow_session_t s, exports_smtp_filter_on_mail_borrow_transaction_t t, smtp_filter_types_verdict_t *given) {
    answer(pc_the_plugin.mail(&(pc_session){s}, &(pc_transaction){t}), given);
}

static const pc_parameter *parameters(smtp_filter_types_list_parameter_t list) {
    pc_parameter *all = pc_alloc(list.len * sizeof *all);
    for (size_t i = 0; i < list.len; i++) all[i] = (pc_parameter){take(list.ptr[i].keyword), take_option(list.ptr[i].value)};
    return all;
}

static pc_recipient recipient(const smtp_filter_types_recipient_t *r) {
    return (pc_recipient){r->index, take(r->address), parameters(r->parameters), r->parameters.len};
}

void exports_smtp_filter_on_rcpt_handle(exports_smtp_filter_on_rcpt_borrow_session_t s, exports_smtp_filter_on_rcpt_borrow_transaction_t t, exports_smtp_filter_on_rcpt_recipient_t *r, smtp_filter_types_verdict_t *given) {
    pc_recipient to = recipient(r);
    answer(pc_the_plugin.rcpt(&(pc_session){s}, &(pc_transaction){t}, &to), given);
}

void exports_smtp_filter_on_data_handle(exports_smtp_filter_on_data_borrow_session_t s, exports_smtp_filter_on_data_borrow_transaction_t t, smtp_filter_types_verdict_t *given) {
    answer(pc_the_plugin.data(&(pc_session){s}, &(pc_transaction){t}), given);
}

void exports_smtp_filter_on_headers_handle(exports_smtp_filter_on_headers_borrow_session_t s, exports_smtp_filter_on_headers_borrow_transaction_t t, exports_smtp_filter_on_headers_borrow_message_t m, smtp_filter_types_verdict_t *given) {
    answer(pc_the_plugin.headers(&(pc_session){s}, &(pc_transaction){t}, &(pc_message){m}), given);
}

void exports_smtp_filter_on_message_handle(exports_smtp_filter_on_message_borrow_session_t s, exports_smtp_filter_on_message_borrow_transaction_t t, exports_smtp_filter_on_message_borrow_message_t m, smtp_filter_types_verdict_t *given) {
    answer(pc_the_plugin.message(&(pc_session){s}, &(pc_transaction){t}, &(pc_message){m}), given);
}

void exports_smtp_filter_on_outcome_handle(exports_smtp_filter_on_outcome_list_outcome_t *events) {
    pc_outcome *all = pc_alloc(events->len * sizeof *all);
    for (size_t i = 0; i < events->len; i++) {
        const exports_smtp_filter_on_outcome_outcome_t *e = &events->ptr[i];
        all[i] = (pc_outcome){
            take(e->session),          take_option(e->transaction), take(e->listener), take(e->client_address), take(e->stage),
            take_option(e->sender),    take_option(e->recipient),   take_option(e->by), e->code,                take(e->text),
            e->time,
        };
    }
    pc_the_plugin.outcome(all, events->len);
    pc_memory_reset();
}

// Session

#define SESSION_TEXT(name) \
    const char *pc_session_##name(const pc_session *s) { \
        plugin_string_t text; \
        smtp_filter_types_method_session_##name(s->handle, &text); \
        return take(text); \
    }
#define SESSION_OPTION(name) \
    const char *pc_session_##name(const pc_session *s) { \
        plugin_string_t text; \
        return smtp_filter_types_method_session_##name(s->handle, &text) ? take(text) : NULL; \
    }
SESSION_TEXT(id)
SESSION_TEXT(listener)
SESSION_TEXT(client_address)
SESSION_OPTION(client_name)
SESSION_OPTION(helo)
SESSION_OPTION(user)
SESSION_OPTION(mechanism)

uint16_t pc_session_client_port(const pc_session *s) { return smtp_filter_types_method_session_client_port(s->handle); }

bool pc_session_esmtp(const pc_session *s) { return smtp_filter_types_method_session_esmtp(s->handle); }

bool pc_session_tls_at_proxy(const pc_session *s) { return smtp_filter_types_method_session_tls_at_proxy(s->handle); }

bool pc_session_tls(const pc_session *s, pc_tls *tls) {
    smtp_filter_types_tls_info_t t;
    if (!smtp_filter_types_method_session_tls(s->handle, &t)) return false;
    *tls = (pc_tls){take(t.version), take(t.cipher), take_option(t.server_name), take_option(t.client_subject)};
    return true;
}

bool pc_session_forwarded(const pc_session *s, pc_forwarded *forwarded) {
    smtp_filter_types_forwarded_t f;
    if (!smtp_filter_types_method_session_forwarded(s->handle, &f)) return false;
    *forwarded = (pc_forwarded){
        take_option(f.name),     take_option(f.address), take_option(f.protocol),        take_option(f.helo),
        take_option(f.identity), take_option(f.source),  f.port.is_some ? f.port.val : 0,
    };
    return true;
}

bool pc_session_load(const pc_session *s, pc_bytes *state) {
    plugin_list_u8_t octets;
    if (!smtp_filter_types_method_session_load(s->handle, &octets)) return false;
    *state = take_bytes(octets);
    return true;
}

pc_error pc_session_save(const pc_session *s, const void *state, size_t len) {
    smtp_filter_types_edit_error_t error;
    plugin_list_u8_t octets = give_bytes(state, len);
    return edited(smtp_filter_types_method_session_save(s->handle, &octets, &error), error);
}

const char *pc_session_note(const pc_session *s, const char *name) {
    plugin_string_t key = give(name), text;
    return smtp_filter_types_method_session_note(s->handle, &key, &text) ? take(text) : NULL;
}

pc_error pc_session_set_note(const pc_session *s, const char *key, const char *value) {
    smtp_filter_types_edit_error_t error;
    plugin_string_t name = give(key), text = give(value);
    return edited(smtp_filter_types_method_session_set_note(s->handle, &name, &text, &error), error);
}

uint32_t pc_session_conduct(const pc_session *s, const char *name) {
    plugin_list_tuple2_string_u32_t all;
    smtp_filter_types_method_session_conduct(s->handle, &all);
    for (size_t n = 0; n < all.len; n++)
        if (!strcmp(take(all.ptr[n].f0), name)) return all.ptr[n].f1;
    return 0;
}

pc_error pc_session_delay(const pc_session *s, uint32_t milliseconds) {
    smtp_filter_types_edit_error_t error;
    return edited(smtp_filter_types_method_session_delay(s->handle, milliseconds, &error), error);
}

// Transaction

const char *pc_transaction_id(const pc_transaction *t) {
    plugin_string_t text;
    smtp_filter_types_method_transaction_id(t->handle, &text);
    return take(text);
}

const char *pc_transaction_sender(const pc_transaction *t) {
    plugin_string_t text;
    return smtp_filter_types_method_transaction_sender(t->handle, &text) ? take(text) : NULL;
}

const pc_parameter *pc_transaction_parameters(const pc_transaction *t, size_t *count) {
    smtp_filter_types_list_parameter_t list;
    smtp_filter_types_method_transaction_parameters(t->handle, &list);
    *count = list.len;
    return parameters(list);
}

const pc_recipient *pc_transaction_recipients(const pc_transaction *t, size_t *count) {
    smtp_filter_types_list_recipient_t list;
    smtp_filter_types_method_transaction_recipients(t->handle, &list);
    pc_recipient *all = pc_alloc(list.len * sizeof *all);
    for (size_t i = 0; i < list.len; i++) all[i] = recipient(&list.ptr[i]);
    *count = list.len;
    return all;
}

pc_error pc_transaction_set_sender(const pc_transaction *t, const char *address) {
    smtp_filter_types_edit_error_t error;
    plugin_string_t text = give(address ? address : "");
    return edited(smtp_filter_types_method_transaction_set_sender(t->handle, address ? &text : NULL, &error), error);
}

pc_error pc_transaction_add_recipient(const pc_transaction *t, const char *address, uint32_t *index) {
    smtp_filter_types_edit_error_t error;
    plugin_string_t text = give(address);
    uint32_t unused;
    return edited(smtp_filter_types_method_transaction_add_recipient(t->handle, &text, index ? index : &unused, &error), error);
}

pc_error pc_transaction_set_recipient(const pc_transaction *t, uint32_t index, const char *address) {
    smtp_filter_types_edit_error_t error;
    plugin_string_t text = give(address);
    return edited(smtp_filter_types_method_transaction_set_recipient(t->handle, index, &text, &error), error);
}

pc_error pc_transaction_drop_recipient(const pc_transaction *t, uint32_t index) {
    smtp_filter_types_edit_error_t error;
    return edited(smtp_filter_types_method_transaction_drop_recipient(t->handle, index, &error), error);
}

pc_error pc_transaction_refuse_recipient(const pc_transaction *t, uint32_t index, pc_reply reply) {
    smtp_filter_types_edit_error_t error;
    smtp_filter_types_reply_t given = give_reply(reply);
    return edited(smtp_filter_types_method_transaction_refuse_recipient(t->handle, index, &given, &error), error);
}

pc_error pc_transaction_route(const pc_transaction *t, const char *upstream) {
    smtp_filter_types_edit_error_t error;
    plugin_string_t text = give(upstream);
    return edited(smtp_filter_types_method_transaction_route(t->handle, &text, NULL, &error), error);
}

pc_error pc_transaction_route_recipient(const pc_transaction *t, uint32_t index, const char *upstream) {
    smtp_filter_types_edit_error_t error;
    plugin_string_t text = give(upstream);
    return edited(smtp_filter_types_method_transaction_route(t->handle, &text, &index, &error), error);
}

pc_error pc_transaction_score(const pc_transaction *t, const char *symbol, double points) {
    smtp_filter_types_edit_error_t error;
    plugin_string_t text = give(symbol);
    return edited(smtp_filter_types_method_transaction_score(t->handle, &text, points, &error), error);
}

const pc_score *pc_transaction_scores(const pc_transaction *t, size_t *count) {
    plugin_list_tuple2_string_f64_t list;
    smtp_filter_types_method_transaction_scores(t->handle, &list);
    pc_score *all = pc_alloc(list.len * sizeof *all);
    for (size_t i = 0; i < list.len; i++) all[i] = (pc_score){take(list.ptr[i].f0), list.ptr[i].f1};
    *count = list.len;
    return all;
}

// Message

uint64_t pc_message_size(const pc_message *m) { return smtp_filter_types_method_message_size(m->handle); }

pc_bytes pc_message_header_section(const pc_message *m) {
    plugin_list_u8_t octets;
    smtp_filter_types_method_message_header_section(m->handle, &octets);
    return take_bytes(octets);
}

const pc_bytes *pc_message_headers(const pc_message *m, const char *name, size_t *count) {
    plugin_string_t text = give(name);
    plugin_list_list_u8_t list;
    smtp_filter_types_method_message_header(m->handle, &text, &list);
    pc_bytes *all = pc_alloc(list.len * sizeof *all);
    for (size_t i = 0; i < list.len; i++) all[i] = take_bytes(list.ptr[i]);
    *count = list.len;
    return all;
}

const char *pc_message_header(const pc_message *m, const char *name) {
    size_t count;
    const pc_bytes *all = pc_message_headers(m, name, &count);
    return count ? (const char *)all[0].ptr : NULL;
}

pc_reader pc_message_read_all(const pc_message *m) {
    return (pc_reader){smtp_filter_types_method_message_read_all(m->handle).__handle};
}

pc_reader pc_message_read_body(const pc_message *m) {
    return (pc_reader){smtp_filter_types_method_message_read_body(m->handle).__handle};
}

const pc_part *pc_message_parts(const pc_message *m, size_t *count) {
    smtp_filter_types_list_part_t list;
    smtp_filter_types_method_message_parts(m->handle, &list);
    pc_part *all = pc_alloc(list.len * sizeof *all);
    for (size_t i = 0; i < list.len; i++) {
        const smtp_filter_types_part_t *p = &list.ptr[i];
        all[i] = (pc_part){
            .index = p->index,
            .root = !p->parent.is_some,
            .parent = p->parent.is_some ? p->parent.val : 0,
            .content_type = take(p->content_type),
            .charset = take_option(p->charset),
            .disposition = take_option(p->disposition),
            .file_name = take_option(p->file_name),
            .size = p->size,
            .has_extent = p->encoded.is_some,
        };
        if (p->encoded.is_some) all[i].at = p->encoded.val.f0, all[i].length = p->encoded.val.f1;
    }
    *count = list.len;
    return all;
}

bool pc_message_read_part(const pc_message *m, uint32_t index, pc_reader *content) {
    smtp_filter_types_own_reader_t reader;
    if (!smtp_filter_types_method_message_read_part(m->handle, index, &reader)) return false;
    content->handle = reader.__handle;
    return true;
}

pc_error pc_message_add_header(const pc_message *m, int at, const char *name, const char *value) {
    smtp_filter_types_edit_error_t error;
    plugin_string_t key = give(name);
    plugin_list_u8_t text = give_bytes(value, strlen(value));
    uint32_t place = (uint32_t)at;
    return edited(smtp_filter_types_method_message_add_header(m->handle, at < 0 ? NULL : &place, &key, &text, &error), error);
}

pc_error pc_message_set_header(const pc_message *m, const char *name, uint32_t nth, const char *value) {
    smtp_filter_types_edit_error_t error;
    plugin_string_t key = give(name);
    plugin_list_u8_t text = give_bytes(value, strlen(value));
    return edited(smtp_filter_types_method_message_set_header(m->handle, &key, nth, &text, &error), error);
}

pc_error pc_message_drop_header(const pc_message *m, const char *name, uint32_t nth) {
    smtp_filter_types_edit_error_t error;
    plugin_string_t key = give(name);
    return edited(smtp_filter_types_method_message_drop_header(m->handle, &key, nth, &error), error);
}

pc_error pc_message_replace_body(const pc_message *m, pc_writer *body) {
    smtp_filter_types_edit_error_t error;
    smtp_filter_types_own_writer_t writer;
    bool well = smtp_filter_types_method_message_replace_body(m->handle, &writer, &error);
    if (well) body->handle = writer.__handle;
    return edited(well, error);
}

pc_error pc_message_splice_body(const pc_message *m, uint64_t at, uint64_t length, const void *with, size_t len) {
    smtp_filter_types_edit_error_t error;
    plugin_list_u8_t octets = give_bytes(with, len);
    return edited(smtp_filter_types_method_message_splice_body(m->handle, at, length, &octets, &error), error);
}

static smtp_filter_types_borrow_reader_t reader(pc_reader r) { return (smtp_filter_types_borrow_reader_t){r.handle}; }

static smtp_filter_types_borrow_writer_t writer(pc_writer w) { return (smtp_filter_types_borrow_writer_t){w.handle}; }

size_t pc_read(pc_reader r, void *buffer, size_t size) {
    plugin_list_u8_t read;
    target = buffer;
    target_size = size;
    smtp_filter_types_method_reader_read(reader(r), size > UINT32_MAX ? UINT32_MAX : (uint32_t)size, &read);
    target = NULL;
    return read.len;
}

uint64_t pc_skip(pc_reader r, uint64_t count) { return smtp_filter_types_method_reader_skip(reader(r), count); }

bool pc_find(pc_reader r, const void *needle, size_t len, uint64_t within, uint64_t *offset) {
    plugin_list_u8_t octets = give_bytes(needle, len);
    return smtp_filter_types_method_reader_find(reader(r), &octets, within, offset);
}

void pc_sha256(pc_reader r, uint8_t digest[32]) {
    plugin_list_u8_t octets;
    target = digest;
    target_size = 32;
    smtp_filter_types_method_reader_sha256(reader(r), &octets);
    target = NULL;
}

void pc_reader_close(pc_reader r) { smtp_filter_types_reader_drop_own((smtp_filter_types_own_reader_t){r.handle}); }

pc_error pc_write(pc_writer w, const void *chunk, size_t len) {
    smtp_filter_types_edit_error_t error;
    plugin_list_u8_t octets = give_bytes(chunk, len);
    return edited(smtp_filter_types_method_writer_write(writer(w), &octets, &error), error);
}

pc_error pc_write_copy(pc_writer w, pc_reader source, uint64_t count, uint64_t *copied) {
    smtp_filter_types_edit_error_t error;
    uint64_t unused;
    return edited(smtp_filter_types_method_writer_copy(writer(w), reader(source), count, copied ? copied : &unused, &error), error);
}

pc_error pc_write_finish(pc_writer w) {
    smtp_filter_types_edit_error_t error;
    bool well = smtp_filter_types_method_writer_finish(writer(w), &error);
    smtp_filter_types_writer_drop_own((smtp_filter_types_own_writer_t){w.handle});
    return edited(well, error);
}

// Log, metrics, clock, random

bool pc_log_enabled(pc_level level) { return smtp_filter_log_enabled((smtp_filter_log_level_t)level); }

void pc_log_fields(pc_level level, const char *text, const char *const *fields) {
    size_t count = 0;
    while (fields[2 * count]) count++;
    plugin_tuple2_string_string_t *pairs = pc_alloc(count * sizeof *pairs);
    for (size_t i = 0; i < count; i++) pairs[i] = (plugin_tuple2_string_string_t){give(fields[2 * i]), give(fields[2 * i + 1])};
    plugin_string_t line = give(text);
    smtp_filter_log_write((smtp_filter_log_level_t)level, &line, &(plugin_list_tuple2_string_string_t){pairs, count});
}

void pc_count(const char *name, uint64_t by) {
    plugin_string_t text = give(name);
    smtp_filter_metrics_add(&text, by, NULL);
}

void pc_count_label(const char *name, uint64_t by, const char *label, const char *value) {
    plugin_string_t text = give(name);
    plugin_tuple2_string_string_t pair = {give(label), give(value)};
    smtp_filter_metrics_add(&text, by, &pair);
}

void pc_observe(const char *name, double value) {
    plugin_string_t text = give(name);
    smtp_filter_metrics_observe(&text, value);
}

uint64_t pc_now(void) { return smtp_filter_clock_now(); }

uint64_t pc_monotonic(void) { return smtp_filter_clock_monotonic(); }

void pc_random(void *buffer, size_t len) {
    plugin_list_u8_t octets;
    target = buffer;
    target_size = len;
    smtp_filter_random_bytes((uint32_t)len, &octets);
    target = NULL;
}

_Noreturn void pc_stop(void) { __builtin_trap(); }

// DNS

pc_error pc_lookup(const pc_query *queries, size_t count, pc_answer *answers) {
    smtp_filter_dns_query_t *asked = pc_alloc(count * sizeof *asked);
    for (size_t i = 0; i < count; i++) asked[i] = (smtp_filter_dns_query_t){give(queries[i].name), (uint8_t)queries[i].kind};
    smtp_filter_dns_list_answer_t list;
    smtp_filter_dns_lookup_error_t error;
    if (!smtp_filter_dns_lookup(&(smtp_filter_dns_list_query_t){asked, count}, &list, &error))
        return error == SMTP_FILTER_DNS_LOOKUP_ERROR_DENIED ? PC_DENIED : PC_TOO_MANY;
    for (size_t i = 0; i < count; i++) {
        const smtp_filter_dns_answer_t *a = &list.ptr[i];
        answers[i] = (pc_answer){.kind = (pc_answer_kind)a->tag, .reason = ""};
        if (a->tag == SMTP_FILTER_DNS_ANSWER_FAILED) answers[i].reason = take(a->val.failed);
        if (a->tag == SMTP_FILTER_DNS_ANSWER_TIMED_OUT) answers[i].reason = "timed out";
        if (a->tag != SMTP_FILTER_DNS_ANSWER_RECORDS) continue;
        const char **records = pc_alloc(a->val.records.len * sizeof *records);
        for (size_t k = 0; k < a->val.records.len; k++) records[k] = take(a->val.records.ptr[k]);
        answers[i].records = records;
        answers[i].count = a->val.records.len;
    }
    return PC_OK;
}

// Stores

static pc_error stored(bool well, const smtp_filter_kv_kv_error_t *error) {
    static const pc_error errors[] = {PC_DENIED, PC_TOO_LARGE, PC_CONFLICT, PC_NOT_A_COUNTER, PC_UNAVAILABLE};
    return well ? PC_OK : errors[error->tag];
}

static smtp_filter_kv_borrow_store_t store(pc_store s) { return (smtp_filter_kv_borrow_store_t){s.handle}; }

pc_error pc_store_open(const char *name, pc_store *s) {
    plugin_string_t text = give(name);
    smtp_filter_kv_own_store_t own;
    smtp_filter_kv_kv_error_t error;
    bool well = smtp_filter_kv_static_store_open(&text, &own, &error);
    if (well) s->handle = own.__handle;
    return stored(well, &error);
}

static plugin_list_string_t texts(const char *const *given, size_t count) {
    plugin_string_t *all = pc_alloc(count * sizeof *all);
    for (size_t i = 0; i < count; i++) all[i] = give(given[i]);
    return (plugin_list_string_t){all, count};
}

pc_error pc_store_get_all(pc_store s, const char *const *keys, size_t count, pc_entry *entries) {
    plugin_list_string_t wanted = texts(keys, count);
    smtp_filter_kv_list_option_entry_t list;
    smtp_filter_kv_kv_error_t error;
    bool well = smtp_filter_kv_method_store_get(store(s), &wanted, &list, &error);
    for (size_t i = 0; well && i < count; i++) {
        const smtp_filter_kv_option_entry_t *e = &list.ptr[i];
        entries[i] = (pc_entry){.found = e->is_some};
        if (e->is_some) entries[i].value = take_bytes(e->val.value), entries[i].version = e->val.version;
    }
    return stored(well, &error);
}

pc_error pc_store_put(pc_store s, const char *key, const void *value, size_t len, uint32_t ttl_seconds, uint64_t expect, uint64_t *version) {
    plugin_string_t text = give(key);
    plugin_list_u8_t octets = give_bytes(value, len);
    smtp_filter_kv_kv_error_t error;
    uint64_t unused;
    bool well = smtp_filter_kv_method_store_put(store(s), &text, &octets, ttl_seconds ? &ttl_seconds : NULL,
                                                expect == PC_ANY_VERSION ? NULL : &expect, version ? version : &unused, &error);
    return stored(well, &error);
}

pc_error pc_store_add(pc_store s, const char *key, int64_t by, uint32_t ttl_seconds, int64_t *sum) {
    plugin_string_t text = give(key);
    smtp_filter_kv_kv_error_t error;
    int64_t unused;
    bool well = smtp_filter_kv_method_store_add(store(s), &text, by, ttl_seconds ? &ttl_seconds : NULL, sum ? sum : &unused, &error);
    return stored(well, &error);
}

pc_error pc_store_delete(pc_store s, const char *key) {
    plugin_list_string_t wanted = texts(&key, 1);
    smtp_filter_kv_kv_error_t error;
    return stored(smtp_filter_kv_method_store_delete(store(s), &wanted, &error), &error);
}

void pc_store_close(pc_store s) { smtp_filter_kv_store_drop_own((smtp_filter_kv_own_store_t){s.handle}); }

// HTTP

static smtp_filter_http_request_t give_request(const pc_request *r) {
    plugin_tuple2_string_list_u8_t *headers = pc_alloc(r->header_count * sizeof *headers);
    for (size_t i = 0; i < r->header_count; i++)
        headers[i] = (plugin_tuple2_string_list_u8_t){give(r->headers[i].name), give_bytes(r->headers[i].value.ptr, r->headers[i].value.len)};
    return (smtp_filter_http_request_t){
        .method = give(r->method),
        .url = give(r->url),
        .headers = {headers, r->header_count},
        .body = give_bytes(r->body.ptr, r->body.len),
        .timeout_ms = {r->timeout_ms != 0, r->timeout_ms},
    };
}

static pc_response take_response(bool well, const smtp_filter_http_response_t *r, const smtp_filter_http_http_error_t *error) {
    static const pc_error errors[] = {PC_DENIED, PC_MALFORMED, PC_TOO_LARGE, PC_TIMED_OUT, PC_UNAVAILABLE};
    if (!well) {
        pc_response failed = {.error = errors[error->tag], .reason = ""};
        if (failed.error == PC_MALFORMED || failed.error == PC_UNAVAILABLE) failed.reason = take(error->val.unavailable);
        return failed;
    }
    pc_header *headers = pc_alloc(r->headers.len * sizeof *headers);
    for (size_t i = 0; i < r->headers.len; i++) headers[i] = (pc_header){take(r->headers.ptr[i].f0), take_bytes(r->headers.ptr[i].f1)};
    return (pc_response){PC_OK, "", r->status, headers, r->headers.len, take_bytes(r->body)};
}

void pc_http(const pc_request *requests, size_t count, pc_response *responses) {
    smtp_filter_http_request_t *given = pc_alloc(count * sizeof *given);
    for (size_t i = 0; i < count; i++) given[i] = give_request(&requests[i]);
    smtp_filter_http_list_result_response_http_error_t list;
    smtp_filter_http_send(&(smtp_filter_http_list_request_t){given, count}, &list);
    for (size_t i = 0; i < count; i++) responses[i] = take_response(!list.ptr[i].is_err, &list.ptr[i].val.ok, &list.ptr[i].val.err);
}

pc_response pc_http_content(const pc_request *request, pc_reader content) {
    smtp_filter_http_request_t given = give_request(request);
    smtp_filter_http_response_t response;
    smtp_filter_http_http_error_t error;
    bool well = smtp_filter_http_send_content(&given, reader(content), &response, &error);
    return take_response(well, &response, &error);
}

// Streams

static pc_error streamed(bool well, uint8_t tag) {
    static const pc_error errors[] = {PC_DENIED, PC_TOO_MANY, PC_TIMED_OUT, PC_UNAVAILABLE};
    return well ? PC_OK : errors[tag];
}

static smtp_filter_streams_borrow_connection_t stream(pc_stream s) { return (smtp_filter_streams_borrow_connection_t){s.handle}; }

pc_error pc_stream_open(const char *address, uint32_t timeout_ms, pc_stream *s) {
    plugin_string_t text = give(address);
    smtp_filter_streams_own_connection_t own;
    smtp_filter_streams_stream_error_t error;
    bool well = smtp_filter_streams_static_connection_open(&text, timeout_ms ? &timeout_ms : NULL, &own, &error);
    if (well) s->handle = own.__handle;
    return streamed(well, error.tag);
}

pc_error pc_stream_write(pc_stream s, const void *octets, size_t len) {
    plugin_list_u8_t given = give_bytes(octets, len);
    smtp_filter_streams_stream_error_t error;
    bool well = smtp_filter_streams_method_connection_write(stream(s), &given, &error);
    return streamed(well, error.tag);
}

pc_error pc_stream_write_content(pc_stream s, pc_reader content, uint64_t most, uint64_t *written) {
    smtp_filter_streams_stream_error_t error;
    uint64_t unused;
    bool well = smtp_filter_streams_method_connection_write_content(stream(s), reader(content), most, written ? written : &unused, &error);
    return streamed(well, error.tag);
}

pc_error pc_stream_read(pc_stream s, uint32_t most, pc_bytes *octets) {
    plugin_list_u8_t list = {0};
    smtp_filter_streams_stream_error_t error;
    bool well = smtp_filter_streams_method_connection_read(stream(s), most, &list, &error);
    *octets = well ? take_bytes(list) : (pc_bytes){0};
    return streamed(well, error.tag);
}

void pc_stream_close(pc_stream s) { smtp_filter_streams_connection_drop_own((smtp_filter_streams_own_connection_t){s.handle}); }

// Upstreams

static pc_error asked(bool well, uint8_t tag) {
    static const pc_error errors[] = {PC_DENIED, PC_TOO_MANY, PC_UNSUPPORTED, PC_TIMED_OUT, PC_UNAVAILABLE};
    return well ? PC_OK : errors[tag];
}

pc_error pc_verify_all(const char *upstream, const char *sender, const char *const *recipients, size_t count, pc_reply *replies) {
    plugin_string_t *given = pc_alloc(count * sizeof *given), name = give(upstream), from = give(sender ? sender : "");
    for (size_t i = 0; i < count; i++) given[i] = give(recipients[i]);
    smtp_filter_upstreams_list_reply_t list = {0};
    smtp_filter_upstreams_upstream_error_t error;
    bool well = smtp_filter_upstreams_verify(&name, sender ? &from : NULL, &(plugin_list_string_t){given, count}, &list, &error);
    for (size_t i = 0; well && i < count && i < list.len; i++) {
        const smtp_filter_types_reply_t *r = &list.ptr[i];
        const char *status = r->status.is_some ? pc_format("%u.%u.%u", r->status.val.f0, r->status.val.f1, r->status.val.f2) : NULL;
        replies[i] = (pc_reply){r->code, status, take(r->text)};
    }
    return asked(well, error.tag);
}

pc_error pc_verify(const char *upstream, const char *sender, const char *recipient, pc_reply *reply) {
    return pc_verify_all(upstream, sender, &recipient, 1, reply);
}

pc_error pc_upstream(const char *upstream, pc_upstream_state *state) {
    plugin_string_t name = give(upstream);
    plugin_list_tuple2_string_u64_t list = {0};
    smtp_filter_upstreams_upstream_error_t error;
    bool well = smtp_filter_upstreams_state(&name, &list, &error);
    *state = (pc_upstream_state){.available = true};
    for (size_t i = 0; well && i < list.len; i++) {
        const char *key = take(list.ptr[i].f0);
        uint64_t number = list.ptr[i].f1;
        if (strcmp(key, "available") == 0) state->available = number != 0;
        if (strcmp(key, "connections") == 0) state->connections = number;
        if (strcmp(key, "busy") == 0) state->busy = number;
        if (strcmp(key, "waiting") == 0) state->waiting = number;
        if (strcmp(key, "limit") == 0) state->limit = number;
    }
    return asked(well, error.tag);
}

// Who sent it

static pc_error findings(bool well, smtp_filter_mail_auth_auth_error_t error, smtp_filter_mail_auth_list_finding_t list, const pc_finding **into, size_t *count) {
    *count = 0;
    if (!well) return error == SMTP_FILTER_MAIL_AUTH_AUTH_ERROR_DENIED ? PC_DENIED : PC_TOO_EARLY;
    pc_finding *all = pc_alloc(list.len * sizeof *all);
    for (size_t i = 0; i < list.len; i++) {
        const smtp_filter_mail_auth_finding_t *f = &list.ptr[i];
        pc_property *properties = pc_alloc(f->properties.len * sizeof *properties);
        for (size_t k = 0; k < f->properties.len; k++) properties[k] = (pc_property){take(f->properties.ptr[k].f0), take(f->properties.ptr[k].f1)};
        all[i] = (pc_finding){take(f->method), take(f->outcome), take_option(f->reason), properties, f->properties.len};
    }
    *into = all;
    *count = list.len;
    return PC_OK;
}

pc_error pc_authenticate_sender(const pc_session *s, const pc_transaction *t, const pc_finding **into, size_t *count) {
    smtp_filter_mail_auth_list_finding_t list = {0};
    smtp_filter_mail_auth_auth_error_t error = 0;
    bool well = smtp_filter_mail_auth_sender(s->handle, t->handle, &list, &error);
    return findings(well, error, list, into, count);
}

pc_error pc_authenticate_content(const pc_session *s, const pc_transaction *t, const pc_message *m, const pc_finding **into, size_t *count) {
    smtp_filter_mail_auth_list_finding_t list = {0};
    smtp_filter_mail_auth_auth_error_t error = 0;
    bool well = smtp_filter_mail_auth_content(s->handle, t->handle, m->handle, &list, &error);
    return findings(well, error, list, into, count);
}
