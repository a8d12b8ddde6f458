// Whoever closes a dialog goes on where they were: without this, the keyboard starts again at the top of the page.

import { useEffect, useState } from "react";

/** Gives the focus back, when this is no longer drawn, to what had it before. */
export function useReturnFocus(): void {
  const [opener] = useState(openerOf);
  useEffect(
    () => () => {
      // After what took the dialog away has been drawn; who has the focus by then keeps it.
      requestAnimationFrame(() => {
        const { activeElement, body } = document;
        if (activeElement && activeElement !== body) return;
        const target = opener?.isConnected ? opener : document.getElementById("content");
        target?.focus({ preventScroll: true });
      });
    },
    [opener],
  );
}

/** What has the focus now; for an entry of a menu, which goes with it, the button that opened the menu. */
function openerOf(): HTMLElement | null {
  const element = document.activeElement;
  const button = element?.closest("[role=menu]")?.getAttribute("aria-labelledby");
  const opener = button ? document.getElementById(button) : element;
  return opener instanceof HTMLElement ? opener : null;
}
