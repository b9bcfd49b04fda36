"""What a program sends is read from its text, loops counted as often as they run."""

from __future__ import annotations

from trainer.pod.collectives import Collectives, collectives

PROGRAM = """\
HloModule jit_step, is_scheduled=true

%add (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %add.1 = f32[] add(%x, %y)
}

%inner_condition (p: (s32[], bf16[8,4])) -> pred[] {
  %limit = s32[]{:T(128)} constant(3)
  %p = (s32[], bf16[8,4]) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  ROOT %less = pred[] compare(%i, %limit), direction=LT
}

%inner_body (p: (s32[], bf16[8,4])) -> (s32[], bf16[8,4]) {
  %p.1 = (s32[], bf16[8,4]) parameter(0)
  %x.1 = bf16[8,4]{1,0:T(8,128)(2,1)S(3)} get-tuple-element(%p.1), index=1
  %moved = bf16[8,4]{1,0} collective-permute(%x.1), channel_id=7, source_target_pairs={{0,1}}, metadata={op_name="a(b)"}
  ROOT %t = (s32[], bf16[8,4]) tuple(%moved, %moved)
}

%condition (p: (s32[], f32[16])) -> pred[] {
  %limit.2 = s32[] constant(32)
  %p.2 = (s32[], f32[16]) parameter(0)
  %i.2 = s32[] get-tuple-element(%p.2), index=0
  ROOT %less.2 = pred[] compare(s32[] %i.2, s32[] %limit.2), direction=LT
}

%body (p: (s32[], f32[16])) -> (s32[], f32[16]) {
  %p.3 = (s32[], f32[16]) parameter(0)
  %y.3 = f32[16] get-tuple-element(%p.3), index=1
  %n.3 = f32[] constant(0)
  %sum = (f32[16], f32[]) all-reduce(%y.3, %n.3), replica_groups={{0,1}}, to_apply=%add
  %loop.1 = (s32[], bf16[8,4]) while(%p.3), condition=%inner_condition, body=%inner_body
  ROOT %t.3 = (s32[], f32[16]) tuple(%y.3, %y.3)
}

%wrapped (q: f32[8]) -> f32[16] {
  %q = f32[8] parameter(0)
  ROOT %gathered = f32[16] all-gather(%q), dimensions={0}
}

ENTRY %main (a: f32[8]) -> f32[16] {
  %a = f32[8]{0} parameter(0)
  %scattered = f32[4] reduce-scatter(%a), dimensions={0}, to_apply=%add
  %begun = (f32[8], f32[16]) all-gather-start(%a), dimensions={0}
  %ended = f32[16] all-gather-done(%begun)
  %fused = f32[16] fusion(%a), kind=kCustom, calls=%wrapped, metadata={op_name="x"}
  %again = f32[16] call(%a), to_apply=%wrapped
  ROOT %loop = (s32[], f32[16]) while(%ended), condition=%condition, body=%body
}
"""


def test_collectives_are_counted_by_kind_through_loops_calls_and_fusions():
    assert collectives(PROGRAM) == {
        "all-gather": Collectives(3, 3 * 64),  # started, fused and called: 16 floats come out of each
        "all-reduce": Collectives(32, 32 * (64 + 4)),  # two arrays at once
        "reduce-scatter": Collectives(1, 32),  # 8 floats go in
        "collective-permute": Collectives(32 * 3, 32 * 3 * 64),
    }


def test_a_program_of_one_device_sends_nothing():
    assert collectives("ENTRY %main (a: f32[8]) -> f32[8] {\n  ROOT %a = f32[8] parameter(0)\n}\n") == {}
