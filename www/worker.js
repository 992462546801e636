// Becomes a worker: waits for the page's glue and compiled module, then Rust takes over.
addEventListener("message", async ({ data: { glue, module } }) => {
  const { default: init } = await import(glue);
  await init({ module_or_path: module });
}, { once: true });
