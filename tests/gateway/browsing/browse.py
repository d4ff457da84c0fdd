"""Looks at the live page with a real browser, as somebody would, and as somebody hostile would have it.

    browse.py PAGE MAIL SPEC SCREENSHOTS CHROMIUM CHROMEDRIVER [AXE [CHECK...]]

PAGE is the address of the page, MAIL that of an SMTP listener. SPEC is JSON: `attacks`, texts that are in what the
gateway remembers, each to be found on the page as text; `transactions`, of which one each is looked for by id, sender,
recipient and client; `explained`, what is in the answer of the form. AXE is axe.min.js of axe-core. Ends with 1 and says why if anything is not as it should be.
"""

import base64
import json
import pathlib
import smtplib
import sys
import time

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

PATIENCE = 60

# Before anything of the page: whatever an attack could do that ran is noted.
TRAPS = """
window.trapped = [];
window.violations = [];
for (const name of ["alert", "confirm", "prompt", "print", "open", "pwned"])
  window[name] = (...words) => { window.trapped.push([name, ...words].join(" ")); };
addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(event.violatedDirective + " " + event.blockedURI + " " + event.sourceFile));
"""

# What only markup that was taken from texts could have brought.
FOREIGN = """
return [...document.querySelectorAll(
  "body script, body style, body link, iframe, object, embed, img, video, audio, base, marquee, meta[http-equiv]")]
  .map((element) => element.outerHTML.slice(0, 200))
  .concat([...document.querySelectorAll("*")].flatMap((element) => [...element.attributes]
    .filter(({ name, value }) => name.startsWith("on") || /^\\s*javascript:/i.test(value))
    .map(({ name, value }) => element.tagName + " " + name + "=" + value)))
"""


class Browser:
    def __init__(self, page):
        options = Options()
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                         "--hide-scrollbars", "--window-size=1440,1000"):
            options.add_argument(argument)
        options.binary_location = CHROMIUM
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        # A dialog that an attack opened would be dismissed, and told as an error.
        options.set_capability("unhandledPromptBehavior", "dismiss and notify")
        self.driver = webdriver.Chrome(options=options, service=Service(CHROMEDRIVER))
        self.page = page
        self.requests = []
        self.cdp("Page.addScriptToEvaluateOnNewDocument", source=TRAPS)
        self.scheme("light")

    def cdp(self, method, **parameters):
        return self.driver.execute_cdp_cmd(method, parameters)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def one(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def wait(self, what, condition, patience=PATIENCE):
        end = time.monotonic() + patience
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            time.sleep(0.05)
        self.shoot("failed.png")
        raise AssertionError(f"waited in vain for {what}; the log: {self.driver.get_log('browser')}")

    def size(self, width, height, scale=1):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)

    def scheme(self, name):
        # Nothing moves: what is clicked is where it was.
        wishes = {"prefers-color-scheme": name, "prefers-reduced-motion": "reduce"}
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": wish, "value": value} for wish, value in wishes.items()])

    def press(self, selector):
        element = self.one(selector)
        self.run("arguments[0].scrollIntoView({ block: 'center' })", element)
        element.click()

    def keys(self, *keys):
        action = webdriver.ActionChains(self.driver)
        for key in keys:
            action.send_keys(key)
        action.perform()

    def focused(self):
        return self.driver.switch_to.active_element

    def shoot(self, name):
        shot = self.cdp("Page.captureScreenshot", format="png")
        (SCREENSHOTS / name).write_bytes(base64.b64decode(shot["data"]))

    def shoot_whole(self, name, width, most=4000):
        self.size(width, min(most, self.run("return document.documentElement.scrollHeight")))
        time.sleep(0.5)
        self.shoot(name)

    def asked(self):
        """Whatever was requested since the beginning."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
        return self.requests


def rows(browser):
    """The transactions that are shown: what each cell says."""
    return browser.run(
        "return [...document.querySelectorAll('#transactions-rows tr')]"
        ".map((row) => [row.dataset.id, ...[...row.cells].map((cell) => cell.textContent)])")


def story(browser):
    return browser.run("return document.getElementById('story').open ? document.getElementById('story').textContent : ''")


def calm(browser):
    """Nothing ran that is not ours, and nothing tried to."""
    assert browser.run("return window.trapped") == [], browser.run("return window.trapped")
    assert browser.run("return window.violations") == [], browser.run("return window.violations")
    foreign = browser.run(FOREIGN)
    assert foreign == [], foreign
    elsewhere = [url for url in browser.asked() if not url.startswith(browser.page)]
    assert elsewhere == [], elsewhere
    errors = [entry for entry in browser.driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == [], errors


def the_policy_holds(browser):
    """What would be a mistake of ours is none: and whoever looks for it would see it."""
    markup = browser.run("try { document.body.innerHTML = '<b>'; return 'taken'; } catch (error) { return error.name; }")
    assert markup == "TypeError", f"markup from a text is {markup}"
    for attempt in ("document.body.append(Object.assign(document.createElement('script'), { src: 'http://127.0.0.1:9/x.js' }))",
                    "document.body.setAttribute('onclick', 'pwned(0)'); document.body.click()",
                    "document.body.setAttribute('style', 'display: none')",
                    "fetch('http://127.0.0.1:9/').catch(() => 0)",
                    "document.body.append(Object.assign(document.createElement('img'), { src: 'http://127.0.0.1:9/x.png' }))"):
        browser.run(f"try {{ {attempt} }} catch (error) {{ violations.push(error.name) }}")
    browser.wait("violations", lambda: browser.run("return window.violations.length") >= 5)
    assert browser.run("return window.trapped") == []
    browser.run("alert(1)")
    assert browser.run("return window.trapped") == ["alert 1"]
    browser.driver.get(browser.page)
    browser.wait("rows", lambda: rows(browser))
    browser.driver.get_log("browser")
    browser.driver.get_log("performance")


def open_story(browser, number):
    browser.run("document.getElementById('transactions-rows').rows[arguments[0]].querySelector('button').click()", number)
    browser.wait("a story", lambda: story(browser))


def show_all(browser):
    while browser.run("return !document.getElementById('transactions-more').hidden"):
        browser.run("document.getElementById('transactions-more').click()")


def attacks_are_text(browser):
    show_all(browser)
    told = browser.run("return document.body.textContent")
    for number in range(len(rows(browser))):
        open_story(browser, number)
        browser.run("for (const button of document.querySelectorAll('#story .unfold')) button.click()")
        told += story(browser)
        calm(browser)
        overflow = browser.run("const story = document.getElementById('story'); return story.scrollWidth - story.clientWidth")
        assert overflow <= 0, f"a story is {overflow} px too wide"
        browser.run("document.querySelector('#story .raw summary').click()")
        browser.wait("JSON", lambda: "{" in browser.run("return document.querySelector('#story .raw pre').textContent"))
        browser.run("document.getElementById('story').close()")
    for attack in SPEC["attacks"]:
        assert attack in told, f"not shown as text: {attack[:200]!r}"
    for character in "\u202e\u2066\u200b\u0000\u001b":
        assert character not in told, f"{character!r} is shown as it is"
    calm(browser)


def long_texts_break_nothing(browser):
    for width, height, scale in ((1440, 1000, 1), (720, 500, 2), (360, 740, 1), (320, 640, 1)):
        browser.size(width, height, scale)
        time.sleep(0.5)
        wide = browser.run("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert wide[0] <= wide[1], f"at {width} px the page is {wide[0]} px wide"
        tall = browser.run("return Math.max(0, ...[...document.querySelectorAll('#transactions-rows tr')]"
                           ".map((row) => row.getBoundingClientRect().height))")
        assert tall <= (60 if width > 720 else 260), f"at {width} px a row is {tall} px high"
        open_story(browser, 0)
        wide = browser.run("return [document.getElementById('story').scrollWidth, window.innerWidth]")
        assert wide[0] <= wide[1], f"at {width} px the story is {wide[0]} px wide"
        browser.run("document.getElementById('story').close()")
        if width == 720:
            browser.shoot("zoom.png")
        if width == 360:
            browser.shoot_whole("narrow.png", 360)
    browser.size(1440, 1000)


def search(browser, field, text):
    browser.run("document.getElementById('find').reset()")
    browser.run("document.getElementById('find-field').value = arguments[0]", field)
    box = browser.one("#find-text")
    box.clear()
    box.send_keys(text)


def everything_is_found(browser):
    for wanted in SPEC["transactions"]:
        for field in ("id", "sender", "recipient", "client"):
            for place in (field, ""):
                search(browser, place, wanted[field])
                browser.wait(f"{wanted['id']} by its {field} {wanted[field]!r}",
                             lambda: wanted["id"] in [row[0] for row in rows(browser)]
                             and (field == "client" or len(rows(browser)) == 1))
    search(browser, "id", "nothing-is-called-so")
    browser.wait("that nothing is found", lambda: "Nothing that the gateway remembers" in browser.one("#transactions-empty").text)
    browser.press("#find button[type=reset]")
    browser.wait("all of them again", lambda: len(rows(browser)) > 1)
    for outcome in ("rejected", "accepted"):
        browser.run("const select = document.getElementById('find-outcome'); select.value = arguments[0];"
                    "select.dispatchEvent(new Event('input', { bubbles: true }))", outcome)
        browser.wait(f"{outcome} alone", lambda: rows(browser) and all(row[3] == outcome for row in rows(browser)))
    browser.press("#find button[type=reset]")
    browser.wait("all of them again", lambda: len({row[3] for row in rows(browser)}) > 1)


def keys_do_everything(browser):
    browser.run("document.activeElement.blur(); window.scrollTo(0, 0)")
    browser.driver.get(browser.page)
    browser.wait("rows", lambda: len(rows(browser)) > 2)
    stops = []
    browser.keys(Keys.TAB)
    assert browser.focused().get_attribute("class") == "skip", "the first stop is the skip link"
    for _ in range(80):
        focused = browser.focused()
        stops.append(focused.get_attribute("id") or focused.get_attribute("class") or focused.tag_name)
        assert browser.run(
            "const style = getComputedStyle(arguments[0]);"
            "return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2", focused), f"focus on {stops[-1]} is not seen"
        if focused.get_attribute("class") == "id":
            break
        browser.keys(Keys.TAB)
    else:
        raise AssertionError(f"no way to the rows: {stops}")
    first = browser.focused().text
    browser.keys(Keys.ARROW_DOWN)
    second = browser.focused().text
    assert second != first
    browser.keys(Keys.ENTER)
    browser.wait("the story", lambda: second in story(browser))
    assert browser.run("return document.getElementById('story').contains(document.activeElement)"), "focus stays behind"
    browser.keys(Keys.ESCAPE)
    browser.wait("its end", lambda: not story(browser))
    assert browser.focused().text == second, "focus does not come back"
    browser.keys(Keys.TAB)
    assert browser.focused().get_attribute("class") != "id", "the rows are a trap"
    # To the end of the page, and out of it.
    seen = set()
    for _ in range(200):
        focused = browser.focused()
        if focused.tag_name == "body":
            break
        seen.add(focused.get_attribute("name"))
        browser.keys(Keys.TAB)
    else:
        raise AssertionError("the tab key never leaves the page")
    assert {"from", "to", "client", "helo", "message"} <= seen, seen


def news_come_by_themselves(browser):
    browser.wait("the events", lambda: browser.one("#link").get_attribute("data-live") == "true")
    send("news@sender.example")
    browser.wait("news", lambda: any("news@sender.example" in row[4] for row in rows(browser)))
    pause = browser.one("#pause")
    browser.press("#pause")
    assert pause.get_attribute("aria-pressed") == "true"
    send("later@sender.example")
    browser.wait("the count", lambda: "1 more since" in browser.one("#transactions-note").text)
    assert not any("later@sender.example" in row[4] for row in rows(browser)), "paused, and it goes on"
    browser.press("#pause")
    browser.wait("what came meanwhile", lambda: any("later@sender.example" in row[4] for row in rows(browser)))


def send(sender):
    host, port = MAIL.rsplit(":", 1)
    with smtplib.SMTP(host, int(port), local_hostname="client.example") as client:
        client.sendmail(sender, ["b@example.com"], "Subject: t\r\n\r\nx\r\n")


def a_message_is_explained(browser):
    form = browser.one("#trial-form")
    for name, text in (("from", "try@sender.example"), ("to", "b@example.com"), ("client", "192.0.2.7"), ("helo", "client.example"),
                       ("message", "Subject: <script>pwned(1)</script>\n\nHi!")):
        form.find_element(By.NAME, name).send_keys(text)
    form.find_element(By.NAME, "helo").send_keys(Keys.ENTER)
    # Until it is there, the same place says what will come.
    browser.wait("an explanation", lambda: "try@sender.example" in browser.one("#trial-answer").text)
    answer = browser.one("#trial-answer").text
    for part in SPEC["explained"]:
        assert part in answer, f"{part} is not in {answer}"
    browser.run("document.getElementById('trial').scrollIntoView({ behavior: 'instant' })")
    browser.shoot("explained.png")
    form.find_element(By.NAME, "client").send_keys(" is no address")
    browser.press("#trial-form button")
    browser.wait("a mistake", lambda: browser.all("#trial-answer .mistake"))
    # What is no success is in the console, and is to be.
    browser.driver.get_log("browser")
    calm(browser)


def everybody_can_use_it(browser):
    named = {"button", "link", "textbox", "searchbox", "combobox", "checkbox", "meter", "dialog", "region", "table", "image", "img"}
    for state in ("page", "story"):
        if state == "story":
            open_story(browser, 0)
        for node in browser.cdp("Accessibility.getFullAXTree")["nodes"]:
            role = node.get("role", {}).get("value")
            if not node.get("ignored") and role in named:
                name = node.get("name", {}).get("value", "").strip()
                assert name or role in ("table", "image"), f"{role} without a name: {node}"
        for scheme in ("light", "dark"):
            browser.scheme(scheme)
            time.sleep(0.4)
            if AXE:
                complain(browser, f"{state}, {scheme}")
    browser.run("document.getElementById('story').close()")
    browser.scheme("light")


def complain(browser, where):
    browser.run(AXE)
    found = browser.driver.execute_async_script("""
        const done = arguments[arguments.length - 1];
        axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })
          .then(({ violations }) => done(violations.map(({ id, nodes }) =>
            id + ": " + nodes.slice(0, 3).map(({ html, failureSummary }) => html.slice(0, 200) + " " + failureSummary).join(" | "))));
        """)
    assert found == [], f"{where}: " + "\n".join(found)


def light_and_dark(browser):
    for scheme in ("light", "dark"):
        browser.scheme(scheme)
        browser.size(1440, 1000)
        time.sleep(0.4)
        ground = browser.run("return getComputedStyle(document.body).backgroundColor")
        brightness = sum(int(part) for part in ground[ground.index("(") + 1:-1].split(",")[:3]) / 3
        assert (brightness > 200) == (scheme == "light") and (brightness < 60) == (scheme == "dark"), f"{scheme}: {ground}"
        browser.run("window.scrollTo(0, 0)")
        browser.shoot_whole(f"{scheme}.png", 1440)
        browser.size(1440, 1000)
        open_story(browser, 0)
        time.sleep(0.4)
        browser.shoot(f"{scheme}-story.png")
        browser.run("document.getElementById('story').close()")
    browser.scheme("light")


def its_end_is_told(browser):
    browser.cdp("Network.enable")
    browser.cdp("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
    browser.wait("the alarm", lambda: "does not answer" in browser.one("#alarm").text)
    assert browser.one("#state").text == "no answer"
    browser.shoot("gone.png")
    browser.cdp("Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    browser.wait("its return", lambda: not browser.one("#alarm").is_displayed() and browser.one("#state").text in ("ready", "degraded"), 40)


def main():
    browser = Browser(PAGE)
    try:
        browser.driver.get(PAGE)
        assert browser.wait("the state", lambda: browser.one("#state").text in ("ready", "degraded"))
        browser.wait("the transactions", lambda: len(rows(browser)) >= min(20, len(SPEC["transactions"])))
        for check in (the_policy_holds, attacks_are_text, long_texts_break_nothing, everything_is_found, keys_do_everything, news_come_by_themselves,
                      light_and_dark, everybody_can_use_it, a_message_is_explained, its_end_is_told):
            if ONLY and check.__name__ not in ONLY:
                continue
            check(browser)
            print(check.__name__.replace("_", " "))
    finally:
        browser.driver.quit()


if __name__ == "__main__":
    PAGE, MAIL, SPEC, SCREENSHOTS, CHROMIUM, CHROMEDRIVER = sys.argv[1:7]
    PAGE = PAGE.rstrip("/") + "/"
    SPEC = json.loads(pathlib.Path(SPEC).read_text())
    SCREENSHOTS = pathlib.Path(SCREENSHOTS)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    AXE = pathlib.Path(sys.argv[7]).read_text() if sys.argv[7:] and sys.argv[7] else None
    ONLY = sys.argv[8:]
    main()
