// Starts the page. The glue is fetched once and kept as a blob, so that workers started later ask the network for nothing.
const { glue, module } = document.getElementById("boot").dataset;
const text = await (await fetch(glue)).text();
const { default: init } = await import(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
await init({ module_or_path: fetch(module) });
