// Shows the description of this node. Nothing here or in the page needs another host:
// no fonts, no proxy, no telemetry, no service of the page's makers.
//
// The page's content security policy forbids eval. Without this setting, which a library of the
// page reads when it is loaded, that library tries eval and causes a violation of the policy.
(globalThis.__zod_globalConfig ??= {}).jitless = true;

addEventListener("DOMContentLoaded", () => Scalar.createApiReference("#reference", {
  url: "/openapi.json",
  withDefaultFonts: false,
  telemetry: false,
  hideClientButton: true,
  showDeveloperTools: "never",
  agent: { disabled: true },
  mcp: { disabled: true },
  defaultOpenAllTags: true,
  hideModels: true,
  documentDownloadType: "json",
  defaultHttpClient: { targetKey: "shell", clientKey: "curl" },
}));
