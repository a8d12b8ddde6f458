import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// All URLs are relative to the document, so that the interface works below any path of a reverse proxy.
export default defineConfig({
  base: "./",
  plugins: [react()],
  // One style sheet: a screen that is opened while the server is away for a moment can be tried again, since nothing of it
  // but its code is missing.
  build: {
    cssCodeSplit: false,
    target: "es2022",
    sourcemap: false,
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
  test: { include: ["src/**/*.test.ts", "src/**/*.test.tsx"] },
  server: {
    // For development: the API of a server that runs on this machine.
    proxy: { "/api2": { target: process.env.FARHOLD_SERVER ?? "https://localhost:8007", secure: false } },
  },
});
