// A static file server for localhost: `node scripts/serve.mjs FOLDER [PORT]`; the browser tests import it.
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".json": "application/json",
  ".png": "image/png",
};

/// Serves `folder` below the path `prefix`; resolves to { url, requests, close } once the port is open.
export async function serve(folder, { port = 0, prefix = "/" } = {}) {
  const root = resolve(folder);
  const requests = [];
  const server = createServer(async (request, response) => {
    requests.push(request.url);
    const refuse = (status, text) => response.writeHead(status, { "content-type": "text/plain" }).end(text);
    let path;
    try {
      path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    } catch {
      return refuse(400, "bad address");
    }
    if (!path.startsWith(prefix)) return refuse(404, "not found");
    const wanted = path.slice(prefix.length);
    const file = join(root, normalize("/" + (wanted === "" || wanted.endsWith("/") ? wanted + "index.html" : wanted)));
    const found = await stat(file).catch(() => null);
    if (!found?.isFile()) return refuse(404, "not found");
    response.writeHead(200, {
      "content-type": TYPES[extname(file)] ?? "application/octet-stream",
      "content-length": found.size,
      "cache-control": "no-cache",
    });
    if (request.method === "HEAD") return response.end();
    createReadStream(file).on("error", () => response.destroy()).pipe(response);
  });
  await new Promise((done, failed) => server.once("error", failed).listen(port, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${server.address().port}${prefix}`,
    requests,
    close: () => new Promise((done) => { server.close(done); server.closeAllConnections(); }),
  };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [folder = "dist", port = "8080"] = process.argv.slice(2);
  try {
    const { url } = await serve(folder, { port: Number(port) });
    console.log(`Quantscope is on ${url} (Ctrl+C stops it)`);
  } catch (error) {
    const why = error.code === "EADDRINUSE" ? `port ${port} is taken: try make serve PORT=8081` : error.message;
    console.error(`cannot serve: ${why}`);
    process.exit(1);
  }
}
