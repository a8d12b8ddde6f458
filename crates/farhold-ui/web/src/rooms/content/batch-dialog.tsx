// Doing the same with many snapshots, one after the other, with progress and whatever failed.

import { Alert, Button, Group as Row, List, Progress, Stack, Text, TextInput } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState, type ReactNode } from "react";
import { wordsOf } from "../../api/failure";
import { Dialog } from "../../parts/dialog";
import { texts } from "../../texts";
import { LISTS } from "./use-content";

const words = texts.content.batch;
/** Failures that are shown; of more only the number. */
const SHOWN_FAILURES = 50;

export interface Step {
  /** What it works on. */
  name: string;
  run: (signal: AbortSignal) => Promise<unknown>;
}

interface BatchDialogProps {
  title: string;
  submit: string;
  steps: readonly Step[];
  /** What will happen. */
  children: ReactNode;
  /** What has to be typed before, if that removes something. */
  confirm?: string;
  onClose: () => void;
  /** Called when it was gone through, also if it was stopped. */
  onEnd: () => void;
}

interface Course {
  state: "running" | "ended";
  done: number;
  failures: readonly { name: string; words: string }[];
}

export function BatchDialog({ title, submit, steps, children, confirm, onClose, onEnd }: BatchDialogProps) {
  const queries = useQueryClient();
  const [typed, setTyped] = useState("");
  const [course, setCourse] = useState<Course>();
  const stop = useRef<AbortController>(undefined);
  // Leaving the dialog ends what it does.
  useEffect(() => () => stop.current?.abort(), []);

  const go = async () => {
    const controller = new AbortController();
    stop.current = controller;
    let now: Course = { state: "running", done: 0, failures: [] };
    setCourse(now);
    for (const step of steps) {
      if (controller.signal.aborted) break;
      try {
        await step.run(controller.signal);
      } catch (error) {
        if (controller.signal.aborted) break;
        now = { ...now, failures: [...now.failures, { name: step.name, words: wordsOf(error) }] };
      }
      now = { ...now, done: now.done + 1 };
      setCourse(now);
    }
    setCourse({ ...now, state: "ended" });
    onEnd();
    await Promise.all(LISTS.map((path) => queries.invalidateQueries({ queryKey: [path] })));
  };

  const isConfirmed = confirm === undefined || typed.trim() === confirm;
  return (
    <Dialog title={title} onClose={onClose} size="lg">
      <form
        aria-label={title}
        onSubmit={(event) => {
          event.preventDefault();
          if (isConfirmed && !course) void go();
        }}
      >
        <Stack gap="sm">
          {!course && (
            <>
              {confirm === undefined ? (
                <Text size="sm" component="div">
                  {children}
                </Text>
              ) : (
                <Alert color="red" variant="light">
                  <Text size="sm" component="div">
                    {children}
                  </Text>
                </Alert>
              )}
              {confirm !== undefined && (
                <TextInput
                  label={texts.common.confirmName(confirm)}
                  value={typed}
                  onChange={(event) => setTyped(event.currentTarget.value)}
                  autoComplete="off"
                  data-autofocus
                />
              )}
              <Row justify="flex-end" gap="xs">
                <Button variant="default" onClick={onClose}>
                  {texts.common.cancel}
                </Button>
                <Button type="submit" disabled={!isConfirmed} {...(confirm === undefined ? {} : { color: "red" })}>
                  {submit}
                </Button>
              </Row>
            </>
          )}
          {course && <Going course={course} all={steps.length} />}
          {course && (
            <Row justify="flex-end" gap="xs">
              {course.state === "running" ? (
                <Button variant="default" onClick={() => stop.current?.abort()}>
                  {words.stop}
                </Button>
              ) : (
                <Button onClick={onClose}>{texts.common.close}</Button>
              )}
            </Row>
          )}
        </Stack>
      </form>
    </Dialog>
  );
}

function Going({ course, all }: { course: Course; all: number }) {
  const { state, done, failures } = course;
  const text =
    state === "running" ? words.progress(done, all) : done === all ? words.finished(done) : words.stopped(done, all);
  return (
    <>
      <Progress value={(100 * done) / Math.max(1, all)} aria-label={text} />
      <Text size="sm" role="status">
        {text}
      </Text>
      {failures.length > 0 && (
        <Alert color="red" title={words.failures(failures.length)} role="alert">
          <List size="sm">
            {failures.slice(0, SHOWN_FAILURES).map((failure) => (
              <List.Item key={failure.name}>
                {failure.name}: {failure.words}
              </List.Item>
            ))}
          </List>
        </Alert>
      )}
    </>
  );
}
