// What surrounds everything: theme, cache of answers, session, addresses.

import "@mantine/core/styles.css";
import "@mantine/notifications/styles.css";
import "./global.css";

import { MantineProvider } from "@mantine/core";
import { Notifications } from "@mantine/notifications";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { HashRouter } from "react-router";
import { ApiFailure } from "./api/failure";
import { useSession } from "./api/session";
import { LogIn, LogInAgain } from "./shell/log-in";
import { Shell } from "./shell/shell";
import { colorSchemeManager, styleNonce, theme, variables } from "./theme";

/** Attempts after a call that the server did not answer. What it refuses is refused. */
const RETRIES = 2;

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 2000,
      retry: (count, error) => error instanceof ApiFailure && error.status === 0 && count < RETRIES,
      refetchOnWindowFocus: true,
    },
    mutations: { retry: false },
  },
});

export function App() {
  return (
    <MantineProvider
      theme={theme}
      cssVariablesResolver={variables}
      defaultColorScheme="auto"
      colorSchemeManager={colorSchemeManager}
      getStyleNonce={styleNonce}
    >
      <Notifications position="top-right" autoClose={6000} />
      <QueryClientProvider client={queries}>
        <HashRouter>
          <Content />
        </HashRouter>
      </QueryClientProvider>
    </MantineProvider>
  );
}

/** Nothing that one user saw is shown to the next. */
const forget = () => queries.clear();

function Content() {
  const session = useSession();
  if (session.state === "starting") return null;
  if (session.state === "out") return <LogIn onShown={forget} />;
  return (
    <>
      <Shell />
      {session.state === "expired" && (
        <LogInAgain user={session.user} onLoggedIn={() => void queries.invalidateQueries()} />
      )}
    </>
  );
}
