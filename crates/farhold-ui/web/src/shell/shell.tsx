// The frame around all screens: header, navigation, the bar of running tasks, and the task that is looked at.

import { Anchor, Button, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { Component, Suspense, useEffect, type ReactNode } from "react";
import { Link, Route, Routes, useLocation } from "react-router";
import { Page } from "../parts/page";
import { texts } from "../texts";
import { Header } from "./header";
import { Navigation } from "./navigation";
import { SCREENS } from "./screens";
import { TaskBar } from "../rooms/tasks/task-bar";
import { TaskDialog } from "../rooms/tasks/task-dialog";
import styles from "./shell.module.css";

export function Shell() {
  const [isMenuOpen, menu] = useDisclosure(false);
  const location = useLocation();
  // On a phone the menu covers the page; it goes when another page was chosen.
  useEffect(() => menu.close(), [location.pathname, menu.close]);
  return (
    <div className={styles.shell} data-menu={isMenuOpen ? "open" : undefined}>
      <Header isMenuOpen={isMenuOpen} onMenu={menu.toggle} />
      <nav className={styles.navigation} aria-label={texts.shell.navigation}>
        <Navigation />
      </nav>
      <main id="content" className={styles.content} tabIndex={-1}>
        <Guard key={location.pathname}>
          <Suspense fallback={<Text size="sm">{texts.common.loading}</Text>}>
            <Routes>
              {SCREENS.map(({ path, Screen }) => (
                <Route key={path} path={path} element={<Screen />} />
              ))}
              <Route path="*" element={<NotFound />} />
            </Routes>
          </Suspense>
        </Guard>
      </main>
      <TaskBar />
      <TaskDialog />
    </div>
  );
}

function NotFound() {
  return (
    <Page title={texts.shell.notFound}>
      <Anchor component={Link} to="/">
        {texts.shell.notFoundBack}
      </Anchor>
    </Page>
  );
}

/** Keeps a fault of one screen from taking the whole interface with it. */
class Guard extends Component<{ children: ReactNode }, { error?: Error }> {
  override state: { error?: Error } = {};

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    return (
      <Page title={texts.shell.crashed}>
        <Text size="sm" mb="sm">
          {error.message}
        </Text>
        <Button onClick={() => window.location.reload()}>{texts.shell.reload}</Button>
      </Page>
    );
  }
}
