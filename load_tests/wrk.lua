-- The script of load_tests/wrk.py: sends the requests of a file, each after its length in eight digits, in turn, and
-- prints what came of them as JSON. `counted` makes it look at each answer, which costs wrk half of its speed.
local requests, next_request = {}, 0
local path, counted = os.getenv("WRK_REQUESTS"), os.getenv("WRK_COUNTED") ~= ""

function setup(thread)
  threads = threads or {}
  table.insert(threads, thread)
end

function init(arguments)
  local file = assert(io.open(path, "rb"))
  while true do
    local length = file:read(8)
    if not length then break end
    requests[#requests + 1] = file:read(tonumber(length))
  end
  file:close()
  statuses, told_to_wait = {}, 0
  if not counted then response = nil end
end

function request()
  next_request = next_request % #requests + 1
  return requests[next_request]
end

function response(status, headers, body)
  statuses[status] = (statuses[status] or 0) + 1
  if headers["Retry-After"] or headers["retry-after"] then told_to_wait = told_to_wait + 1 end
end

function done(summary, latency)
  local found, waits = {}, 0
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get("statuses") or {}) do found[status] = (found[status] or 0) + count end
    waits = waits + (thread:get("told_to_wait") or 0)
  end
  local parts = {}
  for status, count in pairs(found) do parts[#parts + 1] = string.format('"%d": %d', status, count) end
  local errors = summary.errors
  io.stderr:write(string.format(
    '{"requests": %d, "seconds": %f, "p50_ms": %f, "p95_ms": %f, "p99_ms": %f, "most_ms": %f, "not_2xx": %d, ' ..
    '"broken": %d, "timeouts": %d, "told_to_wait": %d, "statuses": {%s}}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
    latency:percentile(99) / 1e3, latency.max / 1e3, errors.status, errors.connect + errors.read + errors.write,
    errors.timeout, waits, table.concat(parts, ", ")))
end
