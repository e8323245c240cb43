-- Declared models were names alone under the first schema. Since 0002 they are objects that say more, and a name alone fails every
-- clause: its node would be suspended at the first start until its agent has declared again. Null: the engine did not say.
update claims
  set value = (
    select jsonb_agg(
      case jsonb_typeof(model)
        when 'string' then jsonb_build_object(
          'id', model, 'digest', null, 'quantization', null, 'modalities', null, 'contextLength', null)
        else model
      end order by place)
    from jsonb_array_elements(value) with ordinality as models (model, place))
  where fact = 'models' and source = 'declared' and jsonb_typeof(value) = 'array'
    and exists (select from jsonb_array_elements(value) as models (model) where jsonb_typeof(model) = 'string');
