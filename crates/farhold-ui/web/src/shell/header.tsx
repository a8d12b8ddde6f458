// The top line: the server's name, colours, who is logged in.

import { Burger, Button, Menu, Text, useMantineColorScheme } from "@mantine/core";
import { Link } from "react-router";
import { logOut, useUser } from "../api/session";
import { useRead } from "../api/hooks";
import { texts } from "../texts";
import styles from "./shell.module.css";

export function Header({ isMenuOpen, onMenu }: { isMenuOpen: boolean; onMenu: () => void }) {
  const user = useUser();
  const { setColorScheme } = useMantineColorScheme();
  const version = useRead("/version", undefined, { every: 600 });
  return (
    <header className={styles.header}>
      <a
        className="skip-link"
        href="#content"
        onClick={(event) => {
          // The address names the page; it must not change by this.
          event.preventDefault();
          document.getElementById("content")?.focus();
        }}
      >
        {texts.shell.skip}
      </a>
      <Burger
        className={styles.burger ?? ""}
        opened={isMenuOpen}
        onClick={onMenu}
        size="sm"
        aria-label={texts.shell.menu}
        aria-expanded={isMenuOpen}
      />
      <Link to="/" className={styles.brand}>
        {texts.common.product}
      </Link>
      <Text size="sm" c="dimmed" className={styles.wide ?? ""}>
        {version.data ? `${version.data.version}.${version.data.release}` : ""}
      </Text>
      <div className={styles.space} />
      <Menu position="bottom-end">
        <Menu.Target>
          <Button variant="default" size="compact-sm" aria-label={texts.shell.loggedInAs(user)}>
            {user} <span aria-hidden>&nbsp;▾</span>
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Label>{texts.shell.theme}</Menu.Label>
          <Menu.Item onClick={() => setColorScheme("light")}>{texts.shell.themeLight}</Menu.Item>
          <Menu.Item onClick={() => setColorScheme("dark")}>{texts.shell.themeDark}</Menu.Item>
          <Menu.Item onClick={() => setColorScheme("auto")}>{texts.shell.themeAuto}</Menu.Item>
          <Menu.Divider />
          <Menu.Item component="a" href={new URL("api-docs", document.baseURI).href} target="_blank">
            {texts.shell.help}
          </Menu.Item>
          <Menu.Item onClick={() => void logOut()}>{texts.shell.logOut}</Menu.Item>
        </Menu.Dropdown>
      </Menu>
    </header>
  );
}
