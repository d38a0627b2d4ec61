from scripts.embedded import EmbeddedRedis
from tests.faults.checker import AS_IT_SHOULD_BE
from tests.faults.run import RECOVERY_S, Run


def do_harm(run: Run, redis: EmbeddedRedis, harm: str) -> None:
    match harm:
        case "killed":
            redis.kill()
            run.scale.last(short_s=1, long_s=3)
            redis.start()
        case "hangs":
            redis.pause()
            run.scale.last(short_s=4, long_s=20)
            redis.resume()
        case "emptied":
            run.place.redis.flushall()
        case "hangs up":
            run.place.redis.client_kill_filter(_type="normal")


def test_redis_may_die_hang_forget_and_hang_up(run: Run, own_redis: EmbeddedRedis) -> None:
    pids = run.crew.pids
    harms = ["killed", "hangs", "emptied", "hangs up"]
    harms += ["killed"] * run.scale.times(1, 4) + ["hangs up"] * run.scale.times(2, 19)
    for harm in run.shuffled(harms):
        with run.fault(f"Redis {harm}"):
            do_harm(run, own_redis, harm)
        run.crew.wait_until_all_consume(timeout_s=RECOVERY_S)
    assert run.crew.pids == pids
    assert run.finish() == AS_IT_SHOULD_BE
    assert run.place.letters() == []
