// The log of a task: live, searchable, with lines that wrap or not.

import { Anchor, Button, Checkbox, CopyButton, Group, Text, TextInput } from "@mantine/core";
import { useEffect, useMemo, useRef, useState } from "react";
import { API_BASE } from "../../api/client";
import { NODE } from "../../api/server";
import { Failure } from "../../parts/failure";
import { texts } from "../../texts";
import { weightOf } from "./log-lines";
import type { TaskLog } from "./use-log";
import styles from "./tasks.module.css";

const words = texts.tasks;

export function LogView({ upid, log }: { upid: string; log: TaskLog }) {
  const [isFollowing, setFollowing] = useState(true);
  const [isWrapping, setWrapping] = useState(true);
  const [search, setSearch] = useState("");
  const box = useRef<HTMLDivElement>(null);
  const shown = useMemo(() => {
    const text = search.toLowerCase();
    return text === "" ? log.lines : log.lines.filter((line) => line.t.toLowerCase().includes(text));
  }, [log.lines, search]);

  useEffect(() => {
    if (isFollowing && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [shown, isFollowing]);

  return (
    <div>
      <Group gap="sm" mb="xs">
        <TextInput
          size="xs"
          aria-label={words.search}
          placeholder={words.search}
          value={search}
          onChange={(event) => setSearch(event.currentTarget.value)}
        />
        {search !== "" && (
          <Text size="xs" role="status">
            {words.matches(shown.length)}
          </Text>
        )}
        <Checkbox
          size="xs"
          label={words.follow}
          checked={isFollowing}
          onChange={(event) => setFollowing(event.currentTarget.checked)}
        />
        <Checkbox
          size="xs"
          label={words.wrap}
          checked={isWrapping}
          onChange={(event) => setWrapping(event.currentTarget.checked)}
        />
        <CopyButton value={log.lines.map((line) => line.t).join("\n")}>
          {({ copied, copy }) => (
            <Button size="compact-xs" variant="default" onClick={copy}>
              {copied ? texts.common.copied : words.copyLog}
            </Button>
          )}
        </CopyButton>
        <Anchor size="xs" href={`${API_BASE}/nodes/${NODE}/tasks/${encodeURIComponent(upid)}/log?download=1`}>
          {words.downloadLog}
        </Anchor>
      </Group>
      <Failure error={log.error} />
      {log.earlier > 0 && (
        <Button size="compact-xs" variant="default" mb="xs" onClick={log.loadEarlier}>
          {words.loadAll(log.earlier)}
        </Button>
      )}
      <div
        ref={box}
        className={styles.log}
        data-wrap={isWrapping || undefined}
        role="log"
        aria-label={words.log}
        tabIndex={0}
        onWheel={(event) => event.deltaY < 0 && setFollowing(false)}
      >
        {shown.length === 0 && log.lines.length === 0 && !log.error ? words.emptyLog : null}
        {shown.map((line) => (
          <div key={line.n} data-weight={weightOf(line.t)}>
            {line.t === "" ? " " : line.t}
          </div>
        ))}
      </div>
    </div>
  );
}
