import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// All URLs are relative to the document, so that the interface works below any path of a reverse proxy.
export default defineConfig({
  base: "./",
  plugins: [react()],
  build: { target: "es2022", sourcemap: false, modulePreload: { polyfill: false }, assetsInlineLimit: 0 },
  test: { include: ["src/**/*.test.ts", "src/**/*.test.tsx"] },
  server: {
    // For development: the API of a server that runs on this machine.
    proxy: { "/api2": { target: process.env.FARHOLD_SERVER ?? "https://localhost:8007", secure: false } },
  },
});
