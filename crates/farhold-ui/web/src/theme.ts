// Colours and defaults of all components, with enough contrast in both schemes.

import {
  Alert,
  createTheme,
  localStorageColorSchemeManager,
  Notification,
  type CSSVariablesResolver,
} from "@mantine/core";
import { texts } from "./texts";

export const theme = createTheme({
  primaryColor: "cyan",
  // White text on it has enough contrast; the library chooses the text for the light shade in both schemes.
  primaryShade: 9,
  autoContrast: true,
  // Where black and white text are equally easy to read.
  luminanceThreshold: 0.179,
  fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif",
  fontFamilyMonospace: "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace",
  headings: { fontWeight: "600" },
  cursorType: "pointer",
  respectReducedMotion: true,
  components: {
    // Titles of boxes keep the colour of text: that of the box is too pale on it.
    Alert: Alert.extend({ styles: { title: { color: "var(--mantine-color-text)" } } }),
    Notification: Notification.extend({ defaultProps: { closeButtonProps: { "aria-label": texts.common.close } } }),
  },
});

export const colorSchemeManager = localStorageColorSchemeManager({ key: "farhold-colours" });

/** The server puts a fresh value into the document; only styles that carry it are used. */
export function styleNonce(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? "";
}

/** Below the pointer buttons get darker: the library's next shade is lighter than white text on it bears. */
const HOVERED = {
  "--mantine-color-cyan-filled-hover": "#096474",
  "--mantine-color-red-filled-hover": "#b12525",
};

/**
 * Quiet text and errors are still text: the library's own grey and red are too pale to read.
 *
 * The library sets colours per scheme, and what is set for both gives way to that.
 */
export const variables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    ...HOVERED,
    "--mantine-color-dimmed": "var(--mantine-color-gray-7)",
    "--mantine-color-error": "var(--mantine-color-red-9)",
  },
  dark: {
    ...HOVERED,
    "--mantine-color-dimmed": "var(--mantine-color-dark-1)",
    "--mantine-color-error": "var(--mantine-color-red-4)",
  },
});
