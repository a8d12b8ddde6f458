import { setNonce } from "get-nonce";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";
import { resume } from "./api/session";
import { styleNonce } from "./theme";

// Dialogs keep the page from scrolling with a style of their own.
setNonce(styleNonce());
void resume();
const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
}
