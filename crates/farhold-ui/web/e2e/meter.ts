/** Measures in the browser what somebody feels: how long the page does not answer, and what it asks the server for. */
import type { Page } from "./fixtures";

export interface Measured {
  /** From the beginning to the end of what was done. */
  milliseconds: number;
  /** The longest piece of work during which nothing else could happen. */
  longestTask: number;
  /** The longest time between two frames. */
  longestFrame: number;
  /** Calls of the API, without their parameters. */
  calls: string[];
}

interface Recorder {
  tasks: number[];
  frames: number[];
}

export class Meter {
  private calls: string[] = [];

  private constructor(private readonly page: Page) {}

  /** To be made before the page is opened. */
  static async attach(page: Page): Promise<Meter> {
    const meter = new Meter(page);
    page.on("request", (request) => {
      const { pathname } = new URL(request.url());
      if (pathname.startsWith("/api2/json")) meter.calls.push(`${request.method()} ${pathname.slice(10)}`);
    });
    await page.addInitScript(() => {
      const recorder: Recorder = { tasks: [], frames: [] };
      (window as unknown as { recorder: Recorder }).recorder = recorder;
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) recorder.tasks.push(entry.duration);
      }).observe({ type: "longtask" });
      let before = performance.now();
      const frame = (now: number): void => {
        recorder.frames.push(now - before);
        before = now;
        requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
    });
    return meter;
  }

  /** Does something and tells how that went; the numbers are printed. */
  async during(what: string, action: () => Promise<void>): Promise<Measured> {
    await this.page.evaluate(() => {
      const { recorder } = window as unknown as { recorder: Recorder };
      recorder.tasks.length = 0;
      recorder.frames.length = 0;
    });
    this.calls = [];
    const start = performance.now();
    await action();
    const milliseconds = Math.round(performance.now() - start);
    // Two frames more, so that what was caused last has been drawn.
    const [longestTask, longestFrame] = await this.page.evaluate(
      () =>
        new Promise<[number, number]>((resolve) => {
          requestAnimationFrame(() =>
            requestAnimationFrame(() => {
              const { recorder } = window as unknown as { recorder: Recorder };
              resolve([Math.round(Math.max(0, ...recorder.tasks)), Math.round(Math.max(0, ...recorder.frames))]);
            }),
          );
        }),
    );
    const measured = { milliseconds, longestTask, longestFrame, calls: [...this.calls] };
    console.log(
      `${what}: ${milliseconds} ms, longest task ${longestTask} ms, longest frame ${longestFrame} ms, ` +
        `${measured.calls.length} calls`,
    );
    return measured;
  }
}
