// Becomes a worker: waits for the page's glue and compiled module, then Rust takes over.
addEventListener("message", async ({ data: { glue, module, lock } }) => {
  // Held for life: who gets this lock after us knows that we are gone.
  if (navigator.locks) {
    await new Promise((held) => navigator.locks.request(lock, () => (held(), new Promise(() => {}))));
  }
  const { default: init } = await import(glue);
  // The benchmark reads the memory's size from outside.
  self.memory = (await init({ module_or_path: module })).memory;
}, { once: true });
