#include <portcullis_fake.h>

static const char *asked(const char *address) {
    pc_recipient to = pc_fake_recipient(address);
    return pc_fake_verdict(pc_the_plugin.rcpt(&(pc_session){0}, &(pc_transaction){0}, &to));
}

int main(void) {
    CHECK(pc_fake_configure("{\"domains\": [\"closed.example\"]}") == NULL);
    CHECK_TEXT(asked("a@Closed.example"), "reject 550 5.7.1 closed for good");
    CHECK_TEXT(asked("a@open.example"), "next");

    CHECK_TEXT(pc_fake_configure("{\"domain\": []}"), "domain: unknown key");
    return pc_fake_result();
}
