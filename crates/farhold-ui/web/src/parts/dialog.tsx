// Dialogs: forms that send something, and questions before something is removed.

import { Alert, Button, Fieldset, Group, Modal, Stack, Text, TextInput } from "@mantine/core";
import { useForm, type UseFormReturnType } from "@mantine/form";
import { useId, useLayoutEffect, useRef, useState, type ReactNode } from "react";
import type { ApiFailure } from "../api/failure";
import { useAct, type ActOptions } from "../api/hooks";
import { texts } from "../texts";
import { Failure } from "./failure";
import { useReturnFocus } from "./return-focus";
import styles from "./dialog.module.css";

interface DialogProps {
  title: string;
  onClose: () => void;
  size?: string;
  /** Whether it can only be left by a button in it: what it shows cannot be seen again. */
  isHeld?: boolean;
  children: ReactNode;
}

/** The dialogs that are open, the uppermost last: each hears the Escape key, and only that one is meant. */
const open: string[] = [];

/** A dialog that is open as long as it is drawn. Fills the screen of a phone. May stand over another one. */
export function Dialog({ title, onClose, size = "lg", isHeld = false, children }: DialogProps) {
  const id = useId();
  // Together with the drawing: a key that is pressed when one dialog has just gone is meant for the next.
  useLayoutEffect(() => {
    open.push(id);
    return () => void open.splice(open.indexOf(id), 1);
  }, [id]);
  useReturnFocus();
  const isNarrow = window.matchMedia("(max-width: 48em)").matches;
  return (
    <Modal
      opened
      onClose={() => {
        if (open.at(-1) === id) onClose();
      }}
      title={title}
      size={size}
      fullScreen={isNarrow}
      closeOnEscape={!isHeld}
      closeOnClickOutside={!isHeld}
      withCloseButton={!isHeld}
      closeButtonProps={{ "aria-label": texts.common.close }}
      classNames={{ content: styles.content ?? "" }}
    >
      {children}
    </Modal>
  );
}

export type Form<Values extends Record<string, unknown>> = UseFormReturnType<Values>;

interface FormDialogProps<Values extends Record<string, unknown>, Result> extends ActOptions<Result> {
  title: string;
  values: Values;
  /** Fields by name that are wrong, with what is wrong, before the server is asked. */
  validate?: (values: Values) => Partial<Record<keyof Values & string, string>>;
  /** Sends the values. What the server says of single fields is shown there, everything else above the buttons. */
  send: (values: Values) => Promise<Result>;
  submit?: string;
  size?: string;
  onClose: () => void;
  /** Names of the API's parameters whose field has another name. */
  fieldOf?: Readonly<Record<string, string>>;
  /** Whether its user may only look: nothing can be changed or sent. */
  isReadOnly?: boolean;
  /** More buttons, left of those that every form has. */
  extra?: (form: Form<Values>) => ReactNode;
  children: (form: Form<Values>) => ReactNode;
}

/** A form in a dialog, which closes when the server took it. */
export function FormDialog<Values extends Record<string, unknown>, Result>({
  title,
  values,
  validate,
  send,
  submit = texts.common.save,
  size,
  onClose,
  fieldOf = {},
  isReadOnly = false,
  extra,
  children,
  ...options
}: FormDialogProps<Values, Result>) {
  const form = useForm<Values>({
    initialValues: values,
    ...(validate ? { validate: (current: Values) => validate(current) as Record<string, string> } : {}),
  }) as Form<Values>;
  const act = useAct(send, {
    ...options,
    quiet: true,
    onDone: (result) => {
      options.onDone?.(result);
      onClose();
    },
  });
  const element = useRef<HTMLFormElement>(null);
  // In a long form what is wrong may be out of sight: it gets the focus as soon as it is marked.
  const showWrong = () =>
    requestAnimationFrame(() => element.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus());
  // The library's type of this function cannot be resolved for a type that is not known yet.
  const mutate = act.mutate as (input: Values, then: { onError: (error: ApiFailure) => void }) => void;
  // What the server says of a parameter stands at its field; of one that has no field here, above the buttons.
  const fields = act.error?.fields ?? {};
  const elsewhere = Object.keys(fields).filter((name) => !((fieldOf[name] ?? name) in values));
  const isShownAtFields = Object.keys(fields).length > 0 && elsewhere.length === 0;
  return (
    <Dialog title={title} onClose={onClose} {...(size ? { size } : {})}>
      <form
        ref={element}
        noValidate
        aria-label={title}
        onSubmit={form.onSubmit(
          (current) =>
            mutate(current, {
              onError: (error) => {
                for (const [name, words] of Object.entries(error.fields))
                  form.setFieldError(fieldOf[name] ?? name, words);
                showWrong();
              },
            }),
          showWrong,
        )}
      >
        <Stack gap="sm">
          {isReadOnly ? (
            <Fieldset variant="unstyled" disabled className={styles.readOnly ?? ""}>
              <Stack gap="sm">{children(form)}</Stack>
            </Fieldset>
          ) : (
            children(form)
          )}
          {!isShownAtFields && <Failure error={act.error} />}
          <Group justify="flex-end" gap="xs" className={styles.buttons ?? ""}>
            {extra?.(form)}
            <Button variant="default" onClick={onClose}>
              {isReadOnly ? texts.common.close : texts.common.cancel}
            </Button>
            {!isReadOnly && (
              <Button type="submit" loading={act.isPending}>
                {submit}
              </Button>
            )}
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

interface RemovalDialogProps<Result> extends ActOptions<Result> {
  title: string;
  /** What has to be typed before the button can be pressed. */
  name: string;
  /** What will be gone, and what stays, in words; from a dry run where there is one. */
  children: ReactNode;
  submit?: string;
  /** Whether the button waits, for instance for a dry run. */
  isWaiting?: boolean;
  /** Below the warning: what needs more room, such as a table, or choices. */
  details?: ReactNode;
  size?: string;
  remove: () => Promise<Result>;
  onClose: () => void;
}

/** Says what will be removed, and asks for its name. */
export function RemovalDialog<Result>({
  title,
  name,
  children,
  submit = texts.common.remove,
  isWaiting = false,
  details,
  size = "md",
  remove,
  onClose,
  ...options
}: RemovalDialogProps<Result>) {
  const [typed, setTyped] = useState("");
  const act = useAct<void, Result>(() => remove(), {
    ...options,
    quiet: true,
    onDone: (result) => {
      options.onDone?.(result);
      onClose();
    },
  });
  const isConfirmed = typed.trim() === name;
  return (
    <Dialog title={title} onClose={onClose} size={size}>
      <form
        aria-label={title}
        onSubmit={(event) => {
          event.preventDefault();
          if (isConfirmed && !isWaiting) act.mutate();
        }}
      >
        <Stack gap="sm">
          <Alert color="red" variant="light">
            <Text component="div" size="sm">
              {children}
            </Text>
          </Alert>
          {details}
          <TextInput
            label={texts.common.confirmName(name)}
            value={typed}
            onChange={(event) => setTyped(event.currentTarget.value)}
            autoComplete="off"
            data-autofocus
          />
          <Failure error={act.error} />
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              {texts.common.cancel}
            </Button>
            <Button type="submit" color="red" disabled={!isConfirmed || isWaiting} loading={act.isPending}>
              {submit}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}
