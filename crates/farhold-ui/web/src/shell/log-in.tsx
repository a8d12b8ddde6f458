// Logging in: on an empty page, and over a page whose session has ended.

import { Button, Modal, Paper, PasswordInput, Stack, Text, TextInput, Title } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useEffect, useState, type FormEvent } from "react";
import { lastUser, logIn, logOut } from "../api/session";
import { Failure } from "../parts/failure";
import { useReturnFocus } from "../parts/return-focus";
import { texts } from "../texts";
import styles from "./shell.module.css";

interface FormProps {
  /** The user cannot be changed if the page is theirs. */
  user?: string;
  onLoggedIn?: () => void;
}

function LogInForm({ user, onLoggedIn }: FormProps) {
  const [name, setName] = useState(user ?? lastUser());
  const [password, setPassword] = useState("");
  const send = useMutation({ mutationFn: () => logIn(name.trim(), password), onSuccess: () => onLoggedIn?.() });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    send.mutate();
  };
  const isNameKnown = name !== "" && user !== undefined;
  return (
    <form onSubmit={submit} aria-label={texts.shell.logIn}>
      <Stack gap="sm">
        <TextInput
          label={texts.shell.user}
          description={texts.shell.userHint}
          name="username"
          autoComplete="username"
          required
          value={name}
          readOnly={user !== undefined}
          onChange={(event) => setName(event.currentTarget.value)}
          data-autofocus={!isNameKnown || undefined}
        />
        <PasswordInput
          label={texts.shell.password}
          name="password"
          autoComplete="current-password"
          required
          value={password}
          onChange={(event) => setPassword(event.currentTarget.value)}
          data-autofocus={isNameKnown || undefined}
          visibilityToggleButtonProps={{ "aria-label": texts.common.show }}
        />
        <Failure error={send.error} />
        <Button type="submit" loading={send.isPending}>
          {texts.shell.logIn}
        </Button>
      </Stack>
    </form>
  );
}

/** The page of those who are not logged in. */
export function LogIn({ onShown }: { onShown: () => void }) {
  useEffect(onShown, [onShown]);
  return (
    <main className={styles.logIn}>
      <Paper withBorder p="xl" radius="md" w="100%" maw={380}>
        <Title order={1} size="h3" mb="md">
          {texts.common.product}
        </Title>
        <LogInForm />
      </Paper>
    </main>
  );
}

/** A dialog over the page of a user whose ticket is no longer accepted. */
export function LogInAgain({ user, onLoggedIn }: { user: string; onLoggedIn: () => void }) {
  useReturnFocus();
  return (
    <Modal
      opened
      onClose={() => void logOut()}
      title={texts.shell.expiredTitle}
      closeOnClickOutside={false}
      closeOnEscape={false}
      closeButtonProps={{ "aria-label": texts.shell.logOut }}
      zIndex={400}
    >
      <Text size="sm" mb="sm">
        {texts.shell.expired}
      </Text>
      <LogInForm user={user} onLoggedIn={onLoggedIn} />
    </Modal>
  );
}
