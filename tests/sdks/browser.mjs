// Sends the sequence of tests/integration/ingest/test_sdks.py with @segment/analytics-next, from a page of another
// origin, in headless Chromium. The page is left only once every request that it began has been answered.
import { createServer } from 'node:http'
import { readFile } from 'node:fs/promises'
import { chromium } from 'playwright-core'

const [url, key, user, orders, batching] = process.argv.slice(2)
const here = new URL('.', import.meta.url)
const files = {
  '/': ['text/html', new URL('browser.html', here)],
  '/favicon.ico': ['text/plain', new URL('package.json', here)],
  '/sdk.js': ['text/javascript', new URL('node_modules/@segment/analytics-next/dist/umd/index.js', here)],
}
const server = createServer(async (request, response) => {
  const [type, file] = files[request.url.split('?')[0]] ?? []
  response.writeHead(file ? 200 : 404, { 'content-type': type ?? 'text/plain' })
  response.end(file && (await readFile(file)))
})
await new Promise((listening) => server.listen(0, '127.0.0.1', listening))

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
})
const said = []
const answers = []
try {
  const page = await browser.newPage()
  page.on('console', (message) => said.push(message.text()))
  page.on('pageerror', (error) => said.push(String(error)))
  page.on('requestfailed', (request) => said.push(`${request.url()}: ${request.failure()?.errorText}`))
  page.on('response', (response) => answers.push(`${response.request().method()} ${response.url()} ${response.status()}`))
  const query = new URLSearchParams({ cdn: url, key, user, orders, batching: batching ?? '' })
  await page.goto(`http://localhost:${server.address().port}/?${query}`)
  await page.waitForFunction(() => document.title !== 'A shop', undefined, { timeout: 30_000 })
  said.unshift(await page.title())
  if (batching) {
    await page.waitForTimeout(6_000) // the SDK's own timer: 5 s
  }
  await page.waitForLoadState('networkidle')
} finally {
  await browser.close()
  server.close()
}
console.log(JSON.stringify({ said, answers }))
