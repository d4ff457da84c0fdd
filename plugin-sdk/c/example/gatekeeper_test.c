#include <portcullis_fake.h>

#include <string.h>

static const char settings[] = "{\"refuse\": [\"Closed.example\"], \"list\": \"list.example\", \"store\": \"counts\"}";

static const char *rcpt(const char *address) {
    pc_recipient to = pc_fake_recipient(address);
    return pc_fake_verdict(pc_the_plugin.rcpt(&(pc_session){0}, &(pc_transaction){0}, &to));
}

static const char *connect(const char *address) {
    return pc_fake_verdict(pc_the_plugin.connect(&(pc_session){.address = address}));
}

static const char *message(void) {
    pc_message m = {.text = "Subject: a\n\nb\n"};
    return pc_fake_verdict(pc_the_plugin.message(&(pc_session){0}, &(pc_transaction){0}, &m));
}

static void recipients_are_refused_by_domain(void) {
    CHECK_TEXT(rcpt("a@closed.EXAMPLE"), "reject 550 5.7.1 no mail for closed.example here");
    CHECK_TEXT(rcpt("a@open.example"), "next");
    CHECK_TEXT(rcpt("a@x.closed.example"), "next");
}

static void listed_clients_are_refused(void) {
    pc_fake_dns(PC_A, "66.2.0.192.list.example", "127.0.0.2");
    pc_fake_dns(PC_A, "67.2.0.192.list.example", NULL);
    CHECK_TEXT(connect("192.0.2.66"), "reject 554 5.7.1 192.0.2.66 is listed by list.example");
    CHECK_TEXT(connect("192.0.2.67"), "next");
    CHECK(pc_fake_logged("warn 67.2.0.192.list.example: the list did not answer: timed out") == 1);
    CHECK_TEXT(connect("192.0.2.68"), "next");
    CHECK_TEXT(connect("2001:db8::1"), "next");
    CHECK_TEXT(connect("unix"), "next");
    CHECK(pc_fake_logged("") == 1);
}

static void messages_are_counted_and_stamped(void) {
    CHECK_TEXT(message(), "next");
    CHECK(pc_fake_edited("add-header 0 X-Gatekeeper: checked") == 1);
    pc_fake_store("counts", PC_OK);
    message();
    message();
    CHECK(pc_fake_edited("add-header 0 X-Gatekeeper: message 2") == 1);
    CHECK(pc_fake_counted("messages") == 3);
}

static void mistakes_in_settings_are_found(void) {
    CHECK_TEXT(pc_fake_configure("{\"refuse\": \"a\"}"), "refuse: expected a list");
    CHECK_TEXT(pc_fake_configure("{\"refuse\": [\"a\", 1]}"), "refuse[1]: expected a text");
    CHECK_TEXT(pc_fake_configure("{\"refuse\": [], \"stroe\": \"a\"}"), "stroe: unknown key");
    CHECK_TEXT(pc_fake_configure("{\"refuse\": []} x"), "settings: no JSON");
    CHECK_TEXT(pc_fake_configure("{\"refuse\": [\"\\q\"]}"), "settings: no JSON");
}

int main(void) {
    CHECK_TEXT(pc_fake_configure("{}"), "refuse: required: a list of the domains that get no mail");
    CHECK(pc_fake_configure(settings) == NULL);
    recipients_are_refused_by_domain();
    listed_clients_are_refused();
    messages_are_counted_and_stamped();
    mistakes_in_settings_are_found();
    return pc_fake_result();
}
