/** The server dies in the middle of a run: the page says so, goes on by itself, and the next run fetches the rest. */
import { expect, login, test } from "./fixtures";
import { COPY, GOLDEN } from "./scene";

const JOB = "restart-job";
const REMOTE = "restart-remote";
/** The run takes half a minute at this rate, if nothing comes between. */
const SLOW = "100 KiB";

test("a run survives that the server is killed, and so does the page", async ({ page, scene, faults }) => {
  test.slow();
  const { copy } = scene;
  await scene.remote(REMOTE);
  await copy.api("POST", `/admin/datastore/${COPY}/namespace`, { name: "restart" });
  await copy.api("POST", "/config/sync", {
    id: JOB,
    store: COPY,
    ns: "restart",
    remote: REMOTE,
    "remote-store": GOLDEN,
    "max-depth": 0,
    "group-filter": ["type:vm"],
    "rate-in": SLOW,
  });
  await login(page, copy);
  await copy.api("POST", `/admin/sync/${JOB}/run`);

  const bar = page.getByRole("contentinfo");
  await expect(bar).toContainText("1 task is running");
  await bar.getByRole("button", { name: JOB }).click();
  const task = page.getByRole("dialog");
  await expect(task).toContainText("running");
  await expect(task.getByRole("progressbar")).toBeVisible();
  const log = task.getByRole("log", { name: "Log" });
  await expect(log).toContainText("start sync");

  faults.allow(/net::ERR_/);
  await copy.stop("SIGKILL");
  await expect(bar).toContainText("The server does not answer");
  await expect(log, "what was read stays").toContainText("start sync");
  await copy.run();
  await expect(bar).toContainText("No task is running");
  await expect(task.getByRole("button", { name: "Stop" })).toBeHidden();
  await expect(task).toContainText("unknown");
  await page.keyboard.press("Escape");

  await copy.api("PUT", `/config/sync/${JOB}`, { delete: ["rate-in"] });
  expect(await copy.wait(await copy.api<string>("POST", `/admin/sync/${JOB}/run`))).toBe("OK");
  await page.goto(`${copy.url}/#/datastore/${COPY}/content?ns=restart`);
  await expect(page.getByText(/[1-9]\d* groups, 9 snapshots/)).toBeVisible();

  await copy.api("DELETE", `/config/sync/${JOB}`);
  await copy.api("DELETE", `/config/remote/${REMOTE}`);
});
